"""Rows of the op table for less common mathematics, and the gradient kernels of elementwise operators."""

TABLE_MATH = """
[elementwise]
rsub_alpha(x, other, *, alpha)          | torch.rsub
copysign(x, other)                      | torch.copysign
nextafter(x, other)                     | torch.nextafter
heaviside(x, values)                    | torch.heaviside
floor_divide(x, other)                  | torch.floor_divide
ldexp(x, other)                         | torch.ldexp
frexp(x)                                | torch.frexp | outs=2
angle(x)                                | torch.angle
i0(x)                                   | torch.i0
special_i0e(x)                          | torch.special.i0e
special_i1(x)                           | torch.special.i1
special_i1e(x)                          | torch.special.i1e
special_erfcx(x)                        | torch.special.erfcx
special_ndtri(x)                        | torch.special.ndtri
special_log_ndtr(x)                     | torch.special.log_ndtr
special_entr(x)                         | torch.special.entr
special_xlog1py(x, other)               | torch.special.xlog1py
special_zeta(x, other)                  | torch.special.zeta
igamma(x, other)                        | torch.igamma
igammac(x, other)                       | torch.igammac
mvlgamma(x, p)                          | torch.mvlgamma
fill(x, value)                          | torch.fill
copy(x, src)                            | custom
celu(x, alpha=1.0)                      | torch.nn.functional.celu
isposinf(x)                             | torch.isposinf
isneginf(x)                             | torch.isneginf

[reduction]
aminmax(x, *, dim=None, keepdim=False)              | torch.aminmax | outs=2
var_mean(x, dim=None, *, correction=1, keepdim=False) | torch.var_mean | outs=2
std_mean(x, dim=None, *, correction=1, keepdim=False) | torch.std_mean | outs=2
median(x)                                           | method
nanmedian(x)                                        | method
median_dim(x, dim, *, keepdim=False)                | .median | outs=2
nanmedian_dim(x, dim, *, keepdim=False)             | .nanmedian | outs=2
kthvalue(x, k, dim=-1, *, keepdim=False)            | method | outs=2
mode(x, dim=-1, *, keepdim=False)                   | method | outs=2
cummax(x, dim)                                      | method | outs=2
cummin(x, dim)                                      | method | outs=2
logcumsumexp(x, dim)                                | method
dist(x, other, p=2)                                 | torch.dist
euclidean_dist(x1, x2)                              | torch.ops.aten._euclidean_dist
renorm(x, p, dim, maxnorm)                          | method

[gradient]
log_sigmoid_forward(x)                              | torch.ops.aten.log_sigmoid_forward | outs=2
log_sigmoid_backward(g, x, buffer)                  | torch.ops.aten.log_sigmoid_backward
silu_backward(g, x)                                 | torch.ops.aten.silu_backward
mish_backward(g, x)                                 | torch.ops.aten.mish_backward
gelu_backward(g, x, *, approximate='none')          | torch.ops.aten.gelu_backward
softplus_backward(g, x, beta, threshold)            | torch.ops.aten.softplus_backward
elu_backward(g, alpha, scale, input_scale, is_result, x) | torch.ops.aten.elu_backward
leaky_relu_backward(g, x, negative_slope, is_result) | torch.ops.aten.leaky_relu_backward
hardtanh_backward(g, x, min_val, max_val)           | torch.ops.aten.hardtanh_backward
hardsigmoid_backward(g, x)                          | torch.ops.aten.hardsigmoid_backward
hardswish_backward(g, x)                            | torch.ops.aten.hardswish_backward
logit_backward(g, x, eps)                           | torch.ops.aten.logit_backward
glu_backward(g, x, dim)                             | torch.ops.aten.glu_backward
prelu_backward(g, x, weight)                        | torch.ops.aten._prelu_kernel_backward | outs=2
"""
