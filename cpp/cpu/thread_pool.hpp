// One lazy pool of threads for the process, shared by all runs.
//
// A parallel loop cuts its items into one contiguous share per participant; a participant works through its own share
// in chunks, then takes chunks of the others'. The caller is a participant and finishes the loop alone if no thread of
// the pool is free, so concurrent runs can't block each other. Who does an item never changes its result.
#pragma once

#include <type_traits>

#include "qsim/types.hpp"
#include "watch.hpp"

namespace qsim::cpu {

// A reference to a callable (begin, end, participant, watch): no allocation, no ownership.
class RangeTask {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::decay_t<F>, RangeTask>>>
  RangeTask(F& task)  // NOLINT(google-explicit-constructor)
      : object_(&task), call_([](void* object, Index begin, Index end, int participant, Watch& watch) {
          (*static_cast<F*>(object))(begin, end, participant, watch);
        }) {}
  void operator()(Index begin, Index end, int participant, Watch& watch) const {
    call_(object_, begin, end, participant, watch);
  }

 private:
  void* object_;
  void (*call_)(void*, Index, Index, int, Watch&);
};

constexpr int max_threads = 1024;

// Run `task` over [0, items) in chunks, participants numbered 0 (the caller) to threads - 1. The watch given to the
// task is `watch` itself for the caller; for other participants its tick() throws once the loop has been stopped. The
// first exception of any participant stops the loop and is thrown here, after every participant has left.
void parallel_for(int threads, Index items, Index chunk, Watch& watch, RangeTask task);

// While one is wanted, threads of the pool that have nothing to do look for work a while longer before they sleep: for
// runs of several loops with something between them that one thread does.
class Awake {
 public:
  explicit Awake(bool wanted);
  ~Awake();
  Awake(const Awake&) = delete;
  Awake& operator=(const Awake&) = delete;

 private:
  bool wanted_;
};

}  // namespace qsim::cpu
