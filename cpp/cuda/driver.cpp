#include "driver.hpp"

#include <dlfcn.h>

#include <array>
#include <mutex>
#include <stdexcept>

namespace qsim::cuda {
namespace {

constexpr unsigned default_shared_bytes = 48 << 10;  // more needs opting in, kernel by kernel
constexpr int max_dynamic_shared_size_bytes = 8;     // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
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
  if (module_ != nullptr && table_.cuCtxSetCurrent(context_) == 0) table_.cuModuleUnload(module_);
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

void Driver::launch(const std::string& kernel, unsigned blocks, unsigned threads, unsigned shared_bytes,
                    std::vector<std::uint64_t> arguments) {
  enter();
  std::vector<void*> places;
  for (std::uint64_t& argument : arguments) places.push_back(&argument);
  check(table_.cuLaunchKernel(function(kernel, shared_bytes), blocks, 1, 1, threads, 1, 1, shared_bytes, nullptr,
                              places.data(), nullptr),
        "launching " + kernel + " on " + std::to_string(blocks) + " blocks");
}

void Driver::synchronize() {
  enter();
  check(table_.cuCtxSynchronize(), "waiting for the device");
}

}  // namespace qsim::cuda
