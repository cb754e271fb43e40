#include "thread_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace qsim::cpu {
namespace {

struct Stopped {};  // what a participant throws to leave a loop that another one stopped

struct alignas(64) Share {
  std::atomic<Index> next;
  Index end;
};

class Loop {
 public:
  Loop(int threads, Index items, Index chunk, RangeTask task)
      : threads_(threads),
        items_(items),
        chunk_(chunk),
        task_(task),
        shares_(new Share[static_cast<std::size_t>(threads)]) {
    // Cut at whole chunks, and the same way for every operation: a share is the part of the state its owner touched
    // first.
    const Index chunks = (items + chunk - 1) / chunk;
    for (int p = 0; p < threads; ++p) {
      shares_[p].next = std::min(items, chunks * p / threads * chunk);
      shares_[p].end = std::min(items, chunks * (p + 1) / threads * chunk);
    }
  }

  void participate(int participant, Watch& watch) noexcept {
    try {
      for (int turn = 0; turn < threads_; ++turn) {
        Share& share = shares_[(participant + turn) % threads_];
        while (!stop_.load(std::memory_order_relaxed)) {
          const Index begin = share.next.fetch_add(chunk_, std::memory_order_relaxed);
          if (begin >= share.end) break;
          task_(begin, std::min(begin + chunk_, share.end), participant, watch);
          watch.tick(static_cast<double>(done_.fetch_add(chunk_, std::memory_order_relaxed)) /
                     static_cast<double>(items_));
        }
      }
    } catch (const Stopped&) {
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      stop_ = true;
    }
  }

  [[nodiscard]] bool stopped() const { return stop_.load(std::memory_order_relaxed); }
  [[nodiscard]] int threads() const { return threads_; }

  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

  // Changed under the pool's mutex.
  int joined = 1;
  std::atomic<int> working{0};

 private:
  int threads_;
  Index items_;
  Index chunk_;
  RangeTask task_;
  std::unique_ptr<Share[]> shares_;
  std::atomic<Index> done_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

class FollowerWatch final : public Watch {
 public:
  explicit FollowerWatch(const Loop& loop) : loop_(loop) {}

 private:
  void poll(double) override {
    if (loop_.stopped()) throw Stopped{};
  }
  const Loop& loop_;
};

class Pool {
 public:
  void wake(int change) {
    {
      const std::lock_guard lock(mutex_);
      awake_.fetch_add(change, std::memory_order_relaxed);
      if (change > 0) ++calls_;
    }
    if (change > 0) wake_.notify_all();
  }

  void run(Loop& loop, Watch& watch) {
    open(loop);
    loop.participate(0, watch);
    close(loop);
    loop.rethrow();
  }

 private:
  void open(Loop& loop) {
    {
      const std::lock_guard lock(mutex_);
      try {
        while (size_ < loop.threads() - 1) {
          std::thread(&Pool::serve, this).detach();
          ++size_;
        }
      } catch (const std::system_error&) {  // no more threads to be had: fewer do the work
      }
      loops_.push_back(&loop);
      waiting_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
  }

  void close(Loop& loop) {
    {
      const std::lock_guard lock(mutex_);
      withdraw(loop);
    }
    for (int spin = 0; spin < 1 << 11 && loop.working.load(std::memory_order_acquire) > 0; ++spin) pause();
    std::unique_lock lock(mutex_);
    left_.wait(lock, [&] { return loop.working == 0; });
  }

  void withdraw(Loop& loop) {
    const auto place = std::find(loops_.begin(), loops_.end(), &loop);
    if (place == loops_.end()) return;
    loops_.erase(place);
    waiting_.fetch_sub(1, std::memory_order_release);
  }

  // Threads of the pool never end: at exit of the process they are asleep, and the pool is never destroyed.
  void serve() {
    std::int64_t heard = 0;
    for (;;) {
      // Operations follow each other within microseconds, passes within a fraction of a millisecond: look for the next
      // one a moment before sleeping.
      auto patience = [&] { return awake_.load(std::memory_order_relaxed) > 0 ? 1 << 14 : 1 << 11; };
      for (int spin = 0; waiting_.load(std::memory_order_acquire) == 0 && spin < patience(); ++spin) pause();
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return !loops_.empty() || calls_ != heard; });
      heard = calls_;
      if (loops_.empty()) continue;
      Loop& loop = *loops_.front();
      const int participant = loop.joined++;
      ++loop.working;
      if (loop.joined == loop.threads()) withdraw(loop);
      lock.unlock();
      FollowerWatch watch(loop);
      loop.participate(participant, watch);
      lock.lock();
      if (--loop.working == 0) left_.notify_all();
    }
  }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable left_;
  std::deque<Loop*> loops_;
  std::atomic<int> waiting_{0};
  std::atomic<int> awake_{0};
  std::int64_t calls_ = 0;
  int size_ = 0;
};

std::atomic<Pool*> current{nullptr};

Pool& pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { current.store(nullptr); });
  static_cast<void>(registered);
  Pool* found = current.load();
  if (found != nullptr) return *found;
  // A forked child has none of its parent's threads: it forgets the old pool, locked or not, and starts its own.
  Pool* fresh = new Pool;
  if (current.compare_exchange_strong(found, fresh)) return *fresh;
  delete fresh;
  return *found;
}

}  // namespace

Awake::Awake(bool wanted) : wanted_(wanted) {
  if (wanted_) pool().wake(1);
}

Awake::~Awake() {
  if (wanted_) pool().wake(-1);
}

void parallel_for(int threads, Index items, Index chunk, Watch& watch, RangeTask task) {
  chunk = std::max<Index>(chunk, 1);
  const Index chunks = (items + chunk - 1) / chunk;
  threads = static_cast<int>(std::min<Index>(std::min(threads, max_threads), chunks));
  if (threads > 1) {
    Loop loop(threads, items, chunk, task);
    pool().run(loop, watch);
    return;
  }
  for (Index begin = 0; begin < items; begin += chunk) {
    task(begin, std::min(begin + chunk, items), 0, watch);
    watch.tick(static_cast<double>(begin) / static_cast<double>(items));
  }
}

}  // namespace qsim::cpu
