// How a long run stays polite: the calling thread ticks between chunks of work, and every now and then that asks the
// owner of the run (Python, through bindings/) whether to go on. To stop a run, poll() throws; the exception reaches
// the caller.
#pragma once

#include <chrono>

namespace qsim::cpu {

class Watch {
 public:
  virtual ~Watch() = default;

  // Say that `fraction` of the current step is done; polls at most every 50 ms.
  void tick(double fraction) {
    const Clock::time_point now = Clock::now();
    if (now < next_) return;
    poll(start_ + fraction * share_);
    next_ = Clock::now() + std::chrono::milliseconds(50);
  }

  // The next ticks are about the part of the run from `start` to `start + share`.
  void step(double start, double share) { start_ = start, share_ = share; }

 protected:
  using Clock = std::chrono::steady_clock;
  virtual void poll(double fraction) = 0;

 private:
  Clock::time_point next_ = Clock::now() + std::chrono::milliseconds(50);
  double start_ = 0;
  double share_ = 1;
};

}  // namespace qsim::cpu
