// The CUDA driver through a table of its functions, found at run time: nothing of CUDA is linked, g++ builds it, and a
// test fills the table with functions of its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "qsim/types.hpp"

namespace qsim::cuda {

// Types of the driver's C interface, as its reference lists them.
using Result = int;
using DeviceNumber = int;
using Address = std::uint64_t;

// Every entry of the table: name in the library and signature.
#define QSIM_CUDA_FUNCTIONS(X)                                                                            \
  X(cuInit, (unsigned))                                                                                   \
  X(cuDriverGetVersion, (int*))                                                                           \
  X(cuGetErrorName, (Result, const char**))                                                               \
  X(cuGetErrorString, (Result, const char**))                                                             \
  X(cuDeviceGetCount, (int*))                                                                             \
  X(cuDeviceGet, (DeviceNumber*, int))                                                                    \
  X(cuDeviceGetName, (char*, int, DeviceNumber))                                                          \
  X(cuDeviceGetAttribute, (int*, int, DeviceNumber))                                                      \
  X(cuDeviceTotalMem_v2, (std::size_t*, DeviceNumber))                                                    \
  X(cuDevicePrimaryCtxRetain, (void**, DeviceNumber))                                                     \
  X(cuDevicePrimaryCtxRelease_v2, (DeviceNumber))                                                         \
  X(cuCtxSetCurrent, (void*))                                                                             \
  X(cuCtxSynchronize, ())                                                                                 \
  X(cuMemGetInfo_v2, (std::size_t*, std::size_t*))                                                        \
  X(cuMemAlloc_v2, (Address*, std::size_t))                                                               \
  X(cuMemFree_v2, (Address))                                                                              \
  X(cuMemcpyHtoD_v2, (Address, const void*, std::size_t))                                                 \
  X(cuMemcpyDtoH_v2, (void*, Address, std::size_t))                                                       \
  X(cuMemcpyDtoD_v2, (Address, Address, std::size_t))                                                     \
  X(cuModuleLoadData, (void**, const void*))                                                              \
  X(cuModuleUnload, (void*))                                                                              \
  X(cuModuleGetFunction, (void**, void*, const char*))                                                    \
  X(cuFuncSetAttribute, (void*, int, int))                                                                \
  X(cuLaunchKernel,                                                                                       \
    (void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**)) \
  X(cuMemHostAlloc, (void**, std::size_t, unsigned))                                                      \
  X(cuMemFreeHost, (void*))                                                                               \
  X(cuMemcpyHtoDAsync_v2, (Address, const void*, std::size_t, void*))                                     \
  X(cuStreamCreate, (void**, unsigned))                                                                   \
  X(cuStreamDestroy_v2, (void*))                                                                          \
  X(cuStreamSynchronize, (void*))                                                                         \
  X(cuStreamWaitEvent, (void*, void*, unsigned))                                                          \
  X(cuEventCreate, (void**, unsigned))                                                                    \
  X(cuEventDestroy_v2, (void*))                                                                           \
  X(cuEventRecord, (void*, void*))                                                                        \
  X(cuEventSynchronize, (void*))                                                                          \
  X(cuStreamBeginCapture_v2, (void*, int))                                                                \
  X(cuStreamEndCapture, (void*, void**))                                                                  \
  X(cuGraphInstantiateWithFlags, (void**, void*, unsigned long long))                                     \
  X(cuGraphDestroy, (void*))                                                                              \
  X(cuGraphLaunch, (void*, void*))                                                                        \
  X(cuGraphExecDestroy, (void*))

struct Table {
#define QSIM_CUDA_MEMBER(name, signature) Result(*name) signature = nullptr;
  QSIM_CUDA_FUNCTIONS(QSIM_CUDA_MEMBER)
#undef QSIM_CUDA_MEMBER
};

// The functions of a driver library; throws std::runtime_error saying what is missing.
Table table_of(const std::string& library);

// From addresses by name, all of them.
Table table_of(const std::map<std::string, std::uintptr_t>& addresses);

struct KernelLaunch {
  std::string kernel;
  unsigned blocks, threads, shared_bytes;
  std::vector<std::uint64_t> arguments;  // every one is 64 bits wide
};

// One device and its primary context. Every call that fails throws std::runtime_error beginning with the driver's name
// of the error, as "CUDA_ERROR_OUT_OF_MEMORY".
class Driver {
 public:
  Driver(const Table& table, int device);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  [[nodiscard]] std::string name() const;
  [[nodiscard]] int attribute(int which) const;
  [[nodiscard]] std::size_t total_memory() const;
  [[nodiscard]] std::size_t free_memory() const;
  [[nodiscard]] int driver_version() const;

  void load(const std::string& image);  // PTX text or a cubin
  Address allocate(std::size_t bytes);
  void free(Address address);
  void upload(Address target, const void* source, std::size_t bytes);
  void download(void* target, Address source, std::size_t bytes);
  void copy(Address target, Address source, std::size_t bytes);
  // On the default stream, or that of use_streams: in order.
  void launch(KernelLaunch work);
  void synchronize();

  // From now on launches are on a stream of their own, which the default stream's copies keep in order with, and there
  // is another for upload_beside.
  void use_streams();
  // Copy through pinned memory while launches go on; later ones find it done. What was launched before may still read a
  // target that is not `fresh`: then the copy waits for it. The source can be used again at once.
  void upload_beside(Address target, const void* source, std::size_t bytes, bool fresh);
  // A graph of launches, one after the other; played as often as wanted, after use_streams.
  void* record(const std::vector<KernelLaunch>& work);
  void replay(void* graph);
  void forget(void* graph);

 private:
  void check(Result result, const std::string& doing) const;
  void enter() const;
  void* function(const std::string& kernel, unsigned shared_bytes);
  void start(KernelLaunch& work, void* stream);

  struct Streams {
    void *work = nullptr, *copies = nullptr, *recording = nullptr;  // the last only records
    void* launched = nullptr;                                       // event: of the work so far
    struct Slot {
      void* pinned = nullptr;
      std::size_t bytes = 0;
      void* copied = nullptr;  // event
    };
    std::array<Slot, 2> slots;  // in turn, so that one is filled while the other is copied
    std::size_t turn = 0;
    std::mutex mutex;
  };

  struct Function {
    void* handle;
    unsigned shared_bytes;  // allowed so far
  };

  Table table_;
  DeviceNumber device_ = 0;
  void* context_ = nullptr;
  void* module_ = nullptr;
  std::map<std::string, Function> functions_;
  std::unique_ptr<Streams> streams_;
};

}  // namespace qsim::cuda
