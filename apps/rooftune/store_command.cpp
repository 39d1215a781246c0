#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "commands.hpp"
#include "rooftune/runs/evaluation_store.hpp"
#include "terminal.hpp"

namespace rooftune::app {
namespace {

struct StoreOptions {
  std::vector<std::string> stores;
  std::string into;
};

ExitCode merge(const StoreOptions& options) {
  const auto merged = runs::merge_evaluation_stores({options.stores.begin(), options.stores.end()}, options.into);
  if (!merged) return refuse(merged.error());
  print_errors(merged->warnings);
  long added = 0;
  for (const runs::MergedStore& store : merged->stores) {
    print(fmt::format("{}: {} evaluations, {} of them new\n", store.file.string(), store.evaluations, store.added));
    added += store.added;
  }
  print(fmt::format("{} evaluations added to {}\n", added, options.into));
  return ExitCode::done;
}

}  // namespace

void add_store_command(const Command& program, ExitCode& exit_code) {
  const Command command = program.add_subcommand("store", "stores of evaluations: what several machines computed as one");
  command.footer("Example: rooftune store merge runs/shard*/journal.sqlite --into all.sqlite");
  command.require_subcommand(1);
  const auto options = std::make_shared<StoreOptions>();
  const Command merge_command = command.add_subcommand("merge", "add the evaluations of stores to one");
  merge_command.footer("All or nothing. Example: rooftune store merge runs/shard*/journal.sqlite --into all.sqlite");
  merge_command.add_option("STORE", options->stores, "stores (--store), or the journal.sqlite of run folders").required();
  merge_command.add_option("--into", options->into, "store to add them to; made where there is none").required();
  merge_command.callback([options, &exit_code] { exit_code = merge(*options); });
}

}  // namespace rooftune::app
