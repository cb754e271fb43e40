#include "driver.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace qsim::cuda {
namespace {

constexpr unsigned default_shared_bytes = 48 << 10;  // more needs opting in, kernel by kernel
constexpr int max_dynamic_shared_size_bytes = 8;     // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
constexpr unsigned stream_non_blocking = 1;          // CU_STREAM_NON_BLOCKING: unordered with the default stream
constexpr unsigned event_disable_timing = 2;         // CU_EVENT_DISABLE_TIMING
constexpr int capture_thread_local = 1;              // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
std::mutex functions_mutex;

template <class Function>
void assign(Function& member, void* address, const char* name) {
  if (address == nullptr)
    throw std::runtime_error(std::string("the CUDA driver has no function ") + name + "; install a newer driver");
  member = reinterpret_cast<Function>(address);
}

}  // namespace

Table table_of(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays open: the process keeps one driver
  if (handle == nullptr) throw std::runtime_error("no CUDA driver: " + std::string(dlerror()));
  Table table;
#define QSIM_CUDA_ASSIGN(name, signature) assign(table.name, dlsym(handle, #name), #name);
  QSIM_CUDA_FUNCTIONS(QSIM_CUDA_ASSIGN)
#undef QSIM_CUDA_ASSIGN
  return table;
}

Table table_of(const std::map<std::string, std::uintptr_t>& addresses) {
  const auto find = [&](const char* name) {
    const auto found = addresses.find(name);
    return found == addresses.end() ? nullptr : reinterpret_cast<void*>(found->second);
  };
  Table table;
#define QSIM_CUDA_ASSIGN(name, signature) assign(table.name, find(#name), #name);
  QSIM_CUDA_FUNCTIONS(QSIM_CUDA_ASSIGN)
#undef QSIM_CUDA_ASSIGN
  return table;
}

Driver::Driver(const Table& table, int device) : table_(table) {
  check(table_.cuInit(0), "starting the driver");
  int count = 0;
  check(table_.cuDeviceGetCount(&count), "counting devices");
  if (device < 0 || device >= count)
    throw std::runtime_error("CUDA_ERROR_INVALID_DEVICE: device " + std::to_string(device) + " of " +
                             std::to_string(count) + "; CUDA_VISIBLE_DEVICES decides which are seen");
  check(table_.cuDeviceGet(&device_, device), "choosing a device");
  check(table_.cuDevicePrimaryCtxRetain(&context_, device_), "opening the device");
}

Driver::~Driver() {
  // Errors at the end of a process, when the driver may be gone already, are nobody's business.
  const bool entered = table_.cuCtxSetCurrent(context_) == 0;
  if (entered && streams_) {
    for (const Streams::Slot& slot : streams_->slots) {
      table_.cuEventSynchronize(slot.copied);
      if (slot.pinned != nullptr) table_.cuMemFreeHost(slot.pinned);
      table_.cuEventDestroy_v2(slot.copied);
    }
    table_.cuEventDestroy_v2(streams_->launched);
    for (void* stream : {streams_->work, streams_->copies, streams_->recording}) table_.cuStreamDestroy_v2(stream);
  }
  if (entered && module_ != nullptr) table_.cuModuleUnload(module_);
  table_.cuDevicePrimaryCtxRelease_v2(device_);
}

void Driver::check(Result result, const std::string& doing) const {
  if (result == 0) return;
  const char *name = nullptr, *text = nullptr;
  table_.cuGetErrorName(result, &name);
  table_.cuGetErrorString(result, &text);
  throw std::runtime_error((name != nullptr ? std::string(name) : "CUDA error " + std::to_string(result)) + " while " +
                           doing + (text != nullptr ? std::string(": ") + text : ""));
}

void Driver::enter() const {
  check(table_.cuCtxSetCurrent(context_), "entering the context");
}

std::string Driver::name() const {
  std::array<char, 256> text{};
  check(table_.cuDeviceGetName(text.data(), static_cast<int>(text.size()), device_), "asking for the device's name");
  return text.data();
}

int Driver::attribute(int which) const {
  int value = 0;
  check(table_.cuDeviceGetAttribute(&value, which, device_), "asking for device attribute " + std::to_string(which));
  return value;
}

std::size_t Driver::total_memory() const {
  std::size_t bytes = 0;
  check(table_.cuDeviceTotalMem_v2(&bytes, device_), "asking for the device's memory");
  return bytes;
}

std::size_t Driver::free_memory() const {
  enter();
  std::size_t free = 0, total = 0;
  check(table_.cuMemGetInfo_v2(&free, &total), "asking for free memory");
  return free;
}

int Driver::driver_version() const {
  int version = 0;
  check(table_.cuDriverGetVersion(&version), "asking for the driver's version");
  return version;
}

void Driver::load(const std::string& image) {
  enter();
  void* module = nullptr;
  check(table_.cuModuleLoadData(&module, image.c_str()), "loading the kernels");
  const std::lock_guard<std::mutex> lock(functions_mutex);
  functions_.clear();
  if (module_ != nullptr) table_.cuModuleUnload(module_);
  module_ = module;
}

Address Driver::allocate(std::size_t bytes) {
  enter();
  Address address = 0;
  check(table_.cuMemAlloc_v2(&address, bytes), "allocating " + std::to_string(bytes) + " bytes");
  return address;
}

void Driver::free(Address address) {
  enter();
  check(table_.cuMemFree_v2(address), "freeing memory");
}

void Driver::upload(Address target, const void* source, std::size_t bytes) {
  enter();
  check(table_.cuMemcpyHtoD_v2(target, source, bytes), "copying " + std::to_string(bytes) + " bytes to the device");
}

void Driver::download(void* target, Address source, std::size_t bytes) {
  enter();
  check(table_.cuMemcpyDtoH_v2(target, source, bytes), "copying " + std::to_string(bytes) + " bytes from the device");
}

void Driver::copy(Address target, Address source, std::size_t bytes) {
  enter();
  check(table_.cuMemcpyDtoD_v2(target, source, bytes), "copying " + std::to_string(bytes) + " bytes on the device");
}

void* Driver::function(const std::string& kernel, unsigned shared_bytes) {
  const std::lock_guard<std::mutex> lock(functions_mutex);
  auto found = functions_.find(kernel);
  if (found == functions_.end()) {
    void* handle = nullptr;
    check(table_.cuModuleGetFunction(&handle, module_, kernel.c_str()), "looking for kernel " + kernel);
    found = functions_.emplace(kernel, Function{handle, default_shared_bytes}).first;
  }
  Function& function = found->second;
  if (shared_bytes > function.shared_bytes) {
    check(table_.cuFuncSetAttribute(function.handle, max_dynamic_shared_size_bytes, static_cast<int>(shared_bytes)),
          "giving kernel " + kernel + " " + std::to_string(shared_bytes) + " bytes of shared memory");
    function.shared_bytes = shared_bytes;
  }
  return function.handle;
}

void Driver::start(KernelLaunch& work, void* stream) {
  std::vector<void*> places;
  for (std::uint64_t& argument : work.arguments) places.push_back(&argument);
  check(table_.cuLaunchKernel(function(work.kernel, work.shared_bytes), work.blocks, 1, 1, work.threads, 1, 1,
                              work.shared_bytes, stream, places.data(), nullptr),
        "launching " + work.kernel + " on " + std::to_string(work.blocks) + " blocks");
}

void Driver::launch(KernelLaunch work) {
  enter();
  start(work, streams_ ? streams_->work : nullptr);
}

void Driver::synchronize() {
  enter();
  check(streams_ ? table_.cuStreamSynchronize(streams_->work) : table_.cuCtxSynchronize(), "waiting for the device");
}

// --- streams and graphs
// --------------------------------------------------------------------------------------------------

void Driver::use_streams() {
  enter();
  if (streams_) return;
  auto streams = std::make_unique<Streams>();
  check(table_.cuStreamCreate(&streams->work, 0), "making a stream");
  check(table_.cuStreamCreate(&streams->copies, stream_non_blocking), "making a stream");
  check(table_.cuStreamCreate(&streams->recording, stream_non_blocking), "making a stream");
  check(table_.cuEventCreate(&streams->launched, event_disable_timing), "making an event");
  for (Streams::Slot& slot : streams->slots)
    check(table_.cuEventCreate(&slot.copied, event_disable_timing), "making an event");
  streams_ = std::move(streams);
}

void Driver::upload_beside(Address target, const void* source, std::size_t bytes, bool fresh) {
  enter();
  Streams& streams = *streams_;
  const std::lock_guard<std::mutex> lock(streams.mutex);
  Streams::Slot& slot = streams.slots[streams.turn++ % streams.slots.size()];
  const std::string doing = "copying " + std::to_string(bytes) + " bytes beside other work";
  check(table_.cuEventSynchronize(slot.copied), doing);  // the last copy from here; at first there was none
  if (slot.bytes < bytes) {
    if (slot.pinned != nullptr) check(table_.cuMemFreeHost(slot.pinned), "freeing pinned memory");
    slot.pinned = nullptr;
    slot.bytes = 0;
    check(table_.cuMemHostAlloc(&slot.pinned, bytes, 0), "allocating pinned memory");
    slot.bytes = bytes;
  }
  std::memcpy(slot.pinned, source, bytes);
  if (!fresh) {
    check(table_.cuEventRecord(streams.launched, streams.work), doing);
    check(table_.cuStreamWaitEvent(streams.copies, streams.launched, 0), doing);
  }
  check(table_.cuMemcpyHtoDAsync_v2(target, slot.pinned, bytes, streams.copies), doing);
  check(table_.cuEventRecord(slot.copied, streams.copies), doing);
  check(table_.cuStreamWaitEvent(streams.work, slot.copied, 0), doing);
}

void* Driver::record(const std::vector<KernelLaunch>& work) {
  enter();
  Streams& streams = *streams_;
  const std::lock_guard<std::mutex> lock(streams.mutex);
  for (const KernelLaunch& launch : work) function(launch.kernel, launch.shared_bytes);  // loading can't be recorded
  void *graph = nullptr, *ready = nullptr;
  check(table_.cuStreamBeginCapture_v2(streams.recording, capture_thread_local), "recording launches");
  try {
    for (KernelLaunch launch : work) start(launch, streams.recording);
  } catch (...) {
    table_.cuStreamEndCapture(streams.recording, &graph);
    if (graph != nullptr) table_.cuGraphDestroy(graph);
    throw;
  }
  check(table_.cuStreamEndCapture(streams.recording, &graph), "recording launches");
  const Result result = table_.cuGraphInstantiateWithFlags(&ready, graph, 0);
  table_.cuGraphDestroy(graph);
  check(result, "preparing " + std::to_string(work.size()) + " recorded launches");
  return ready;
}

void Driver::replay(void* graph) {
  enter();
  check(table_.cuGraphLaunch(graph, streams_->work), "launching a graph");
}

void Driver::forget(void* graph) {
  enter();
  check(table_.cuGraphExecDestroy(graph), "freeing a graph");
}

}  // namespace qsim::cuda
