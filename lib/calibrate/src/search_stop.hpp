#pragma once

#include <functional>
#include <stop_token>

#include "rooftune/eval/dataset.hpp"

namespace rooftune::calibrate {

/// Ends a search when the caller cancels it, or when the failure policy does.
class SearchStop {
 public:
  SearchStop(const std::stop_token& cancel, const eval::Dataset& dataset)
      : by_caller_(cancel, Request{&source_}), by_failure_(dataset.failures->aborted(), Request{&source_}) {
    if (dataset.external) dataset.external->cancel_with(cancel);
  }
  SearchStop(const SearchStop&) = delete;
  SearchStop& operator=(const SearchStop&) = delete;

  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }

 private:
  struct Request {
    std::stop_source* source;
    void operator()() const { source->request_stop(); }
  };
  std::stop_source source_;
  std::stop_callback<Request> by_caller_;
  std::stop_callback<Request> by_failure_;
};

}  // namespace rooftune::calibrate
