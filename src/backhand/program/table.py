"""The op table itself: one line per operator.

Each line is ``signature | spelling | options``. Options: ``outs=2`` (several values; ``outs=*`` for a
list), ``spread=size`` (a tuple written out). The block's heading gives the operators' kind.
"""

from __future__ import annotations

from collections.abc import Iterator

from .ops import Op, parse_signature

TABLE = """
[elementwise]
neg(x)                                  | -
add(x, other)                           | +
sub(x, other)                           | -
add_alpha(x, other, *, alpha)           | torch.add
sub_alpha(x, other, *, alpha)           | torch.sub
mul(x, other)                           | *
div(x, other)                           | /
pow(x, exponent)                        | **
remainder(x, other)                     | %
fmod(x, other)                          | method
div_mode(x, other, *, rounding_mode)    | torch.div
abs(x)                                  | method
sign(x)                                 | method
sgn(x)                                  | method
exp(x)                                  | method
exp2(x)                                 | method
expm1(x)                                | method
log(x)                                  | method
log2(x)                                 | method
log10(x)                                | method
log1p(x)                                | method
sqrt(x)                                 | method
rsqrt(x)                                | method
square(x)                               | method
reciprocal(x)                           | method
sin(x)                                  | method
cos(x)                                  | method
tan(x)                                  | method
asin(x)                                 | method
acos(x)                                 | method
atan(x)                                 | method
atan2(x, other)                         | method
sinh(x)                                 | method
cosh(x)                                 | method
tanh(x)                                 | torch.tanh
asinh(x)                                | method
acosh(x)                                | method
atanh(x)                                | method
erf(x)                                  | method
erfc(x)                                 | method
erfinv(x)                               | method
lgamma(x)                               | method
digamma(x)                              | method
polygamma(n, x)                         | torch.polygamma
sinc(x)                                 | method
logit(x, eps=None)                      | method
hypot(x, other)                         | method
logaddexp(x, other)                     | torch.logaddexp
logaddexp2(x, other)                    | torch.logaddexp2
xlogy(x, other)                         | torch.xlogy
deg2rad(x)                              | method
rad2deg(x)                              | method
floor(x)                                | method
ceil(x)                                 | method
round(x, *, decimals=0)                 | method
trunc(x)                                | method
frac(x)                                 | method
lerp(x, end, weight)                    | torch.lerp
addcmul(x, tensor1, tensor2, *, value=1) | torch.addcmul
addcdiv(x, tensor1, tensor2, *, value=1) | torch.addcdiv
maximum(x, other)                       | torch.maximum
minimum(x, other)                       | torch.minimum
fmax(x, other)                          | torch.fmax
fmin(x, other)                          | torch.fmin
clamp(x, min=None, max=None)            | method
clamp_min(x, min)                       | method
clamp_max(x, max)                       | method
where(condition, x, other)              | torch.where
nan_to_num(x, nan=None, posinf=None, neginf=None) | torch.nan_to_num
sigmoid(x)                              | torch.sigmoid
relu(x)                                 | torch.relu
silu(x)                                 | torch.nn.functional.silu
gelu(x, *, approximate='none')          | torch.nn.functional.gelu
softplus(x, beta=1, threshold=20)       | torch.nn.functional.softplus
elu(x, alpha=1, scale=1, input_scale=1) | torch.ops.aten.elu
leaky_relu(x, negative_slope=0.01)      | torch.nn.functional.leaky_relu
hardtanh(x, min_val=-1, max_val=1)      | torch.nn.functional.hardtanh
hardsigmoid(x)                          | torch.nn.functional.hardsigmoid
hardswish(x)                            | torch.nn.functional.hardswish
hardshrink(x, lambd=0.5)                | torch.nn.functional.hardshrink
softshrink(x, lambd=0.5)                | torch.nn.functional.softshrink
threshold(x, threshold, value)          | torch.nn.functional.threshold
logsigmoid(x)                           | torch.nn.functional.logsigmoid
mish(x)                                 | torch.nn.functional.mish
prelu(x, weight)                        | torch.ops.aten._prelu_kernel
glu(x, dim=-1)                          | torch.nn.functional.glu
identity(x)                             | custom
clone(x)                                | method
to(x, dtype)                            | method
stored(x, dtype)                        | .to
stop_gradient(x)                        | .detach
masked_fill(x, mask, value)             | method
tril(x, diagonal=0)                     | method
triu(x, diagonal=0)                     | method
eq(x, other)                            | ==
ne(x, other)                            | !=
lt(x, other)                            | <
le(x, other)                            | <=
gt(x, other)                            | >
ge(x, other)                            | >=
isnan(x)                                | method
isinf(x)                                | method
isfinite(x)                             | method
signbit(x)                              | method
logical_and(x, other)                   | torch.logical_and
logical_or(x, other)                    | torch.logical_or
logical_xor(x, other)                   | torch.logical_xor
logical_not(x)                          | torch.logical_not
bitwise_and(x, other)                   | &
bitwise_or(x, other)                    | |
bitwise_xor(x, other)                   | ^
bitwise_not(x)                          | ~

[reduction]
sum(x, dim=None, *, keepdim=False, dtype=None)      | method
mean(x, dim=None, *, keepdim=False, dtype=None)     | method
nansum(x, dim=None, *, keepdim=False, dtype=None)   | method
prod(x, dim=None, *, keepdim=False, dtype=None)     | method
var(x, dim=None, *, correction=1, keepdim=False)    | method
std(x, dim=None, *, correction=1, keepdim=False)    | method
amax(x, dim=(), *, keepdim=False)                   | method
amin(x, dim=(), *, keepdim=False)                   | method
max(x)                                              | method
min(x)                                              | method
max_dim(x, dim, *, keepdim=False)                   | .max | outs=2
min_dim(x, dim, *, keepdim=False)                   | .min | outs=2
argmax(x, dim=None, *, keepdim=False)               | method
argmin(x, dim=None, *, keepdim=False)               | method
logsumexp(x, dim, *, keepdim=False)                 | method
vector_norm(x, ord=2, dim=None, *, keepdim=False, dtype=None) | torch.linalg.vector_norm
cumsum(x, dim, *, dtype=None)                       | method
cumprod(x, dim, *, dtype=None)                      | method
any(x, dim=None, *, keepdim=False)                  | method
all(x, dim=None, *, keepdim=False)                  | method
count_nonzero(x, dim=())                            | method
sort(x, *, dim=-1, descending=False, stable=False)  | torch.sort | outs=2
argsort(x, dim=-1, *, descending=False)             | torch.argsort
topk(x, k, dim=-1, *, largest=True, sorted=True)    | method | outs=2

[contraction]
matmul(x, other)                                    | @
einsum(equation, operands)                          | custom
linear(x, weight, bias=None)                        | torch.nn.functional.linear
addmm(x, mat1, mat2, *, beta=1, alpha=1)            | torch.addmm
mm(x, mat2)                                         | torch.mm
bmm(x, mat2)                                        | torch.bmm
baddbmm(x, batch1, batch2, *, beta=1, alpha=1)      | torch.baddbmm
addbmm(x, batch1, batch2, *, beta=1, alpha=1)       | torch.addbmm
addmv(x, mat, vec, *, beta=1, alpha=1)              | torch.addmv
addr(x, vec1, vec2, *, beta=1, alpha=1)             | torch.addr
mv(x, vec)                                          | torch.mv
dot(x, tensor)                                      | torch.dot
vdot(x, other)                                      | torch.vdot
linalg_cross(x, other, *, dim=-1)                   | torch.linalg.cross
trace(x)                                            | method
linalg_inv(A)                                       | torch.linalg.inv
linalg_cholesky(x, *, upper=False)                  | torch.linalg.cholesky
linalg_det(A)                                       | torch.linalg.det
linalg_slogdet(A)                                   | torch.linalg.slogdet | outs=2
linalg_svd(A, full_matrices=True)                   | torch.linalg.svd | outs=3
linalg_qr(A, mode='reduced')                        | torch.linalg.qr | outs=2
linalg_pinv(x, *, atol=None, rtol=None, hermitian=False) | torch.linalg.pinv
linalg_eigh(x, UPLO='L')                            | torch.linalg.eigh | outs=2
linalg_solve(A, B, *, left=True)                    | torch.linalg.solve
linalg_solve_triangular(x, B, *, upper, left=True, unitriangular=False) | torch.linalg.solve_triangular
linalg_matrix_exp(x)                                | torch.linalg.matrix_exp

[view]
view(x, size)                           | method | spread=size
reshape(x, shape)                       | method | spread=shape
permute(x, dims)                        | method | spread=dims
transpose(x, dim0, dim1)                | method
t(x)                                    | custom
expand(x, size)                         | method | spread=size
unsqueeze(x, dim)                       | method
squeeze(x, dim=None)                    | method
flatten(x, start_dim=0, end_dim=-1)     | method
slice(x, dim, start, end, step=1)       | custom
select(x, dim, index)                   | custom
diagonal(x, offset=0, dim1=0, dim2=1)   | method
unfold(x, dimension, size, step)        | method
split(x, split_size, dim=0)             | method | outs=*
split_with_sizes(x, split_sizes, dim=0) | .split | outs=*
chunk(x, chunks, dim=0)                 | method | outs=*
unbind(x, dim=0)                        | method | outs=*

[movement]
cat(tensors, dim=0)                     | torch.cat
stack(tensors, dim=0)                   | torch.stack
constant_pad_nd(x, pad, *, value=0)     | torch.nn.functional.pad
flip(x, dims)                           | method
roll(x, shifts, dims=())                | method
rot90(x, k, dims)                       | method
repeat(x, repeats)                      | method | spread=repeats
diag_embed(x, offset=0, dim1=-2, dim2=-1) | torch.diag_embed
to_device(x, device)                    | .to

[index]
index(x, indices)                                       | custom
index_put(x, indices, values, *, accumulate=False)      | method
index_put_at(x, indices, values, *, accumulate=False)   | torch.ops.aten.index_put
gather(x, dim, index)                                   | method
index_select(x, dim, index)                             | method
index_add(x, dim, index, source, *, alpha=1)            | method
index_copy(x, dim, index, source)                       | method
index_fill(x, dim, index, value)                        | method
take(x, index)                                          | method
put(x, index, source, *, accumulate=False)              | method
scatter(x, dim, index, src)                             | method
scatter_add(x, dim, index, src)                         | method
scatter_reduce(x, dim, index, src, reduce, *, include_self=True) | method
index_reduce(x, dim, index, source, reduce, *, include_self=True) | method
embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False) | torch.embedding
one_hot(x, num_classes=-1)                              | torch.nn.functional.one_hot
slice_scatter(x, src, *, dim=0, start=None, end=None, step=1) | method
select_scatter(x, src, *, dim, index)                   | method
diagonal_scatter(x, src, *, offset=0, dim1=0, dim2=1)   | method
masked_scatter(x, mask, source)                         | method

[creation]
arange(start, end, step=1, *, dtype=None, device=None)  | custom
full(size, fill_value, *, dtype=None, device=None)      | torch.full
zeros_like(x)                                           | torch.zeros_like
ones_like(x)                                            | torch.ones_like
full_like(x, fill_value)                                | torch.full_like
new_zeros(x, size)                                      | method
eye(n, m, *, dtype=None, device=None)                   | torch.eye
linspace(start, end, steps, *, dtype=None, device=None) | torch.linspace

[random]
bernoulli_mask(x, p)                                    | new.bernoulli_
uniform(x, low=0.0, high=1.0)                           | new.uniform_
normal(x, mean=0.0, std=1.0)                            | new.normal_
log_normal(x, mean=1.0, std=2.0)                        | new.log_normal_
exponential(x, lambd=1.0)                               | new.exponential_
cauchy(x, median=0.0, sigma=1.0)                        | new.cauchy_
geometric(x, p)                                         | new.geometric_
rand_like(x)                                            | torch.rand_like
randn_like(x)                                           | torch.randn_like
rand(size, *, dtype=None, device=None)                  | torch.rand
randn(size, *, dtype=None, device=None)                 | torch.randn
randint(low, high, size, *, dtype=None, device=None)    | torch.randint
randint_like(x, low, high)                              | torch.randint_like
randperm(n, *, dtype=None, device=None)                 | torch.randperm
normal_of_size(mean, std, size, *, dtype=None, device=None) | torch.normal
normal_around(mean, std)                                | torch.normal
poisson(x)                                              | torch.poisson
multinomial(x, num_samples, replacement=False)          | method
bernoulli(x)                                            | method
rrelu_with_noise(x, noise, lower, upper, training)      | torch.ops.aten.rrelu_with_noise_functional | outs=2

[composite]
softmax(x, dim, dtype=None)                             | method
log_softmax(x, dim, dtype=None)                         | method

[gradient]
tanh_backward(g, y)                                     | torch.ops.aten.tanh_backward
sigmoid_backward(g, y)                                  | torch.ops.aten.sigmoid_backward
sgn_backward(g)                                         | custom
pad_backward(g, pad)                                    | custom
threshold_backward(g, x, threshold)                     | torch.ops.aten.threshold_backward
softmax_backward(g, y, dim, input_dtype)                | torch.ops.aten._softmax_backward_data
log_softmax_backward(g, y, dim, input_dtype)            | torch.ops.aten._log_softmax_backward_data
embedding_backward(g, indices, num_weights, padding_idx, scale_grad_by_freq) | torch.ops.aten.embedding_dense_backward
unfold_backward(g, input_sizes, dim, size, step)        | torch.ops.aten.unfold_backward
linalg_lu_factor(A)                                     | torch.linalg.lu_factor | outs=2
linalg_lu_solve(LU, pivots, B, *, left=True, adjoint=False) | torch.linalg.lu_solve
"""


def rows() -> Iterator[Op]:
    """Every row of every table, as ``Op`` records."""
    from .table_math import TABLE_MATH
    from .table_nn import TABLE_NN

    yield from _parse(TABLE)
    yield from _parse(TABLE_MATH)
    yield from _parse(TABLE_NN)


def _parse(text: str) -> Iterator[Op]:
    kind = ""
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            kind = line.strip("[]")
            continue
        signature, spelling, *rest = [part.strip() for part in line.split(" | ")]
        options = dict(option.split("=") for option in " ".join(rest).split())
        name, params = parse_signature(signature)
        outs = options.get("outs", "1")
        yield Op(
            name,
            params,
            spelling,
            outs=0 if outs == "*" else int(outs),
            spread=options.get("spread", ""),
            kind=kind,
        )
