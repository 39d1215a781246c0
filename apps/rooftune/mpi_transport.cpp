#include "mpi_transport.hpp"

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

/// The only source that knows MPI. Its calls are all made by one thread, which looks for messages now and then: what Open MPI
/// itself does while it waits keeps a core busy, and a rank that waits would take it from one that computes.
namespace rooftune::app {
namespace {

using std::chrono::microseconds;

/// Between two looks: soon again after something was sent or came, then ever later.
constexpr microseconds kShortestPause{20};
constexpr microseconds kLongestPause{4000};

/// The rank to which the others say goodbye, with a message that is no other.
constexpr int kListener = 0;
const std::string kGoodbye;

class MpiTransport final : public ranks::Transport {
 public:
  MpiTransport() {
    thread_ = std::jthread([this] { run(); });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return size_ > 0; });
  }
  ~MpiTransport() override { MpiTransport::close(); }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }

  void send(int to, std::string message) override {
    const std::scoped_lock lock(mutex_);
    outbox_.emplace_back(to, std::move(message));
    changed_.notify_all();
  }

  void listen(Receiver receiver) override {
    const std::scoped_lock lock(mutex_);
    receiver_ = std::move(receiver);
    changed_.notify_all();
  }

  void close() override {
    {
      const std::scoped_lock lock(mutex_);
      if (!is_closing_ && rank_ != kListener) outbox_.emplace_back(kListener, kGoodbye);
      is_closing_ = true;
      changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  /// What is on its way; MPI reads from `bytes` until it has left.
  struct Sending {
    std::string bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  void run() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    {
      const std::scoped_lock lock(mutex_);
      MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
      MPI_Comm_size(MPI_COMM_WORLD, &size_);
      changed_.notify_all();
    }
    microseconds pause = kShortestPause;
    while (true) {
      bool is_busy = post();
      is_busy = collect() || is_busy;
      finish_sending();
      pause = is_busy ? kShortestPause : std::min(2 * pause, kLongestPause);
      std::unique_lock lock(mutex_);
      // A long message leaves only when it is taken: nobody goes before the others have nothing more to send.
      const bool is_alone = rank_ != kListener || goodbyes_ == size_ - 1;
      if (is_closing_ && outbox_.empty() && sending_.empty() && is_alone) break;
      changed_.wait_for(lock, pause, [&] { return !outbox_.empty(); });
    }
    MPI_Finalize();
  }

  /// Whether there was anything to send.
  bool post() {
    std::deque<std::pair<int, std::string>> outbox;
    {
      const std::scoped_lock lock(mutex_);
      outbox.swap(outbox_);
    }
    for (auto& [to, bytes] : outbox) {
      Sending& sending = sending_.emplace_back(Sending{.bytes = std::move(bytes)});
      MPI_Isend(sending.bytes.data(), static_cast<int>(sending.bytes.size()), MPI_BYTE, to, 0, MPI_COMM_WORLD, &sending.request);
    }
    return !outbox.empty();
  }

  void finish_sending() {
    std::erase_if(sending_, [](Sending& sending) {
      int is_sent = 0;
      MPI_Test(&sending.request, &is_sent, MPI_STATUS_IGNORE);
      return is_sent != 0;
    });
  }

  /// Whether anything came. Before somebody listens messages wait; when this rank closes they are dropped.
  bool collect() {
    Receiver receiver;
    bool is_closing = false;
    {
      const std::scoped_lock lock(mutex_);
      receiver = receiver_;
      is_closing = is_closing_;
    }
    if (!receiver && !is_closing) return false;
    bool any = false;
    while (true) {
      int is_there = 0;
      MPI_Status status;
      MPI_Iprobe(MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &is_there, &status);
      if (is_there == 0) return any;
      int size = 0;
      MPI_Get_count(&status, MPI_BYTE, &size);
      std::string message(static_cast<std::size_t>(size), '\0');
      MPI_Recv(message.data(), size, MPI_BYTE, status.MPI_SOURCE, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      any = true;
      if (message == kGoodbye) {
        ++goodbyes_;
      } else if (!is_closing) {
        receiver(status.MPI_SOURCE, std::move(message));
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<int, std::string>> outbox_;
  std::list<Sending> sending_;
  Receiver receiver_;
  bool is_closing_ = false;
  int goodbyes_ = 0;  ///< that came to the listener
  int rank_ = 0;
  int size_ = 0;
  std::jthread thread_;  // last to be made, first to go
};

}  // namespace

bool has_mpi() { return true; }
std::unique_ptr<ranks::Transport> make_mpi_transport() { return std::make_unique<MpiTransport>(); }

}  // namespace rooftune::app
