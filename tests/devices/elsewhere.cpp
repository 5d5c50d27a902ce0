// A device that is not the processor, though its memory is: two of them, on which every call first sees whether all its
// tensors are on one device, as a call on a GPU does. What a GPU refuses is refused here, so it is found without one.

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/from_blob.h>

#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_as_complex_native.h>
#include <ATen/ops/view_as_real_native.h>
#include <ATen/ops/view_native.h>

namespace {

constexpr auto HERE = c10::DeviceType::PrivateUse1;
constexpr c10::DeviceIndex COUNT = 2;
thread_local c10::DeviceIndex current = 0;

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return HERE; }
  c10::Device exchangeDevice(c10::Device device) const override {
    auto before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {HERE, current}; }
  void setDevice(c10::Device device) const override {
    TORCH_CHECK(device.index() < COUNT, "there are two of these devices");
    if (device.index() >= 0) current = device.index();
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.index() >= 0) current = device.index();
  }
  c10::Stream getStream(c10::Device device) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, stream.device()); }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return COUNT; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  void init() const override {}
};

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* at = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    return {at, at, &std::free, {HERE, current}};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Memory memory;
REGISTER_ALLOCATOR(HERE, &memory);

at::Tensor empty(c10::SymIntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(device.value_or(c10::Device(HERE, current)));
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(size), &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard(device.value_or(c10::Device(HERE, current)));
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &memory,
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

// The same memory as a tensor of the processor.
at::Tensor seen(const at::Tensor& tensor) {
  if (tensor.device().is_cpu() || !tensor.defined()) return tensor;
  return at::from_blob(tensor.mutable_data_ptr(), tensor.sizes(), tensor.strides(), tensor.options().device(at::kCPU));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  seen(to).copy_(seen(from).to(to.scalar_type()));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  const c10::DeviceGuard guard(to.device());
  if (to.sizes() != from.sizes()) at::native::resize_(to, from.sizes());
  return copy_from(from, to, false);
}

at::Scalar number(const at::Tensor& tensor) { return seen(tensor).item(); }

const at::Tensor& resize(const at::Tensor& tensor, c10::SymIntArrayRef size, std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(tensor.device());
  return at::native::resize_(tensor, C10_AS_INTARRAYREF_SLOW(size), format);
}

at::Tensor view(const at::Tensor& tensor, c10::SymIntArrayRef size) {
  return at::native::view(tensor, C10_AS_INTARRAYREF_SLOW(size));
}

at::Tensor as_strided(const at::Tensor& tensor, c10::SymIntArrayRef size, c10::SymIntArrayRef stride,
                      std::optional<c10::SymInt> offset) {
  auto at = offset.has_value() ? std::optional<int64_t>(offset->expect_int()) : std::nullopt;
  return at::native::as_strided_tensorimpl(tensor, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), at);
}

at::Tensor sent(const at::Tensor& tensor, c10::Device device) { return tensor.defined() ? tensor.to(device) : tensor; }

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                       c10::SymIntArrayRef stride, c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed,
                       c10::SymIntArrayRef out_padding, c10::SymInt groups) {
  TORCH_CHECK(x.device() == weight.device(), "Expected all tensors to be on the same device, but a convolution was given ",
              x.device(), " and ", weight.device());
  auto added = bias && bias->defined() ? std::optional<at::Tensor>(seen(*bias)) : std::nullopt;
  return sent(at::convolution_symint(seen(x), seen(weight), added, stride, padding, dilation, transposed, out_padding, groups),
              x.device());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& grad, const at::Tensor& x, const at::Tensor& weight, c10::SymIntArrayRef stride,
    c10::SymIntArrayRef padding, c10::SymIntArrayRef dilation, bool transposed, c10::SymIntArrayRef out_padding,
    c10::SymInt groups, std::array<bool, 3> wanted) {
  auto sizes = at::OptionalSymIntArrayRef(c10::SymIntArrayRef(weight.sym_sizes().data(), 1));
  auto [a, b, c] = at::convolution_backward_symint(seen(grad), seen(x), seen(weight), sizes, stride, padding, dilation,
                                                   transposed, out_padding, groups, wanted);
  return {sent(a, x.device()), sent(b, x.device()), sent(c, x.device())};
}

// Transformers counts the tokens of experts in whole numbers wherever it is not on the processor.
at::Tensor histc(const at::Tensor& x, int64_t bins, const at::Scalar& least, const at::Scalar& most) {
  return sent(seen(x).to(at::kFloat).histc(bins, least, most).to(x.scalar_type()), x.device());
}

at::Tensor as_real(const at::Tensor& tensor) { return at::native::view_as_real(tensor); }
at::Tensor as_complex(const at::Tensor& tensor) { return at::native::view_as_complex(tensor); }

at::Tensor unfold(const at::Tensor& tensor, int64_t dim, int64_t size, int64_t step) {
  return at::native::unfold(tensor, dim, size, step);
}

at::Tensor& set_storage(at::Tensor& tensor, at::Storage storage, c10::SymInt offset, c10::SymIntArrayRef size,
                        c10::SymIntArrayRef stride) {
  return at::native::set_storage_cpu_(tensor, storage, offset.expect_int(), C10_AS_INTARRAYREF_SLOW(size),
                                      C10_AS_INTARRAYREF_SLOW(stride));
}

// A number in a tensor without dimensions may come from the processor; indices into a tensor may too, as on a GPU.
void same_device(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  const auto& name = op.operator_name().name;
  const bool indexed = name.rfind("aten::index", 0) == 0 || name.rfind("aten::_index", 0) == 0;
  std::optional<c10::Device> first;
  auto see = [&](const at::Tensor& tensor, bool free) {
    if (!tensor.defined() || (tensor.device().is_cpu() && (tensor.dim() == 0 || free))) return;
    TORCH_CHECK(!first || *first == tensor.device(), "Expected all tensors to be on the same device, but ", name, " was given ",
                *first, " and ", tensor.device());
    first = tensor.device();
  };
  const auto count = op.schema().arguments().size();
  for (const auto& value : torch::jit::last(stack, count)) {
    if (value.isTensor()) see(value.toTensor(), false);
    if (value.isTensorList()) for (const auto& one : value.toTensorVector()) see(one, indexed);
    if (value.isOptionalTensorList()) for (const auto& one : value.toOptionalTensorVector()) if (one) see(*one, indexed);
  }
}

void by_processor(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  same_device(op, *stack);
  at::native::cpu_fallback(op, stack, true);
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&by_processor>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &number);
  m.impl("resize_", &resize);
  m.impl("view", &view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("as_strided", &as_strided);
  m.impl("unfold", &unfold);
  m.impl("histc", &histc);
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
  m.impl("view_as_real", &as_real);
  m.impl("view_as_complex", &as_complex);
  m.impl("set_.source_Storage_storage_offset", &set_storage);
}

TORCH_LIBRARY(elsewhere, m) {
  static Hooks hooks;
  at::RegisterPrivateUse1HooksInterface(&hooks);
  m.def("current() -> int", [] { return static_cast<int64_t>(current); });
  m.def("enter(int index) -> ()", [](int64_t index) { current = static_cast<c10::DeviceIndex>(index); });
}
