"""How NumPy and JAX spell the operators: a row each, an expression over the op table's arguments.

``np`` is the library (``numpy`` or ``jax.numpy``), ``sp`` its special functions, ``out_shape`` and
``out_dtype`` the result's, a name that starts with an underscore a helper that the module is given
(see ``array_helpers.py``). A keyword argument that holds None, False or () is left out, and so is a
last positional one; ``*`` writes a tuple out. Operators spelled by a sign need no row. ``{numpy}``
and ``{jax}`` begin rows for one of the two.
"""

from __future__ import annotations

ROWS = """
add_alpha       | x + alpha * other
sub_alpha       | x - alpha * other
rsub_alpha      | other - alpha * x
fmod            | np.fmod(x, other)
abs             | np.abs(x)
sign            | np.sign(np.nan_to_num(x))
sgn             | np.sign(np.nan_to_num(x))
exp             | np.exp(x)
exp2            | np.exp2(x)
expm1           | np.expm1(x)
log             | np.log(x)
log2            | np.log2(x)
log10           | np.log10(x)
log1p           | np.log1p(x)
sqrt            | np.sqrt(x)
rsqrt           | 1 / np.sqrt(x)
square          | np.square(x)
reciprocal      | 1 / x
sin             | np.sin(x)
cos             | np.cos(x)
tan             | np.tan(x)
asin            | np.arcsin(x)
acos            | np.arccos(x)
atan            | np.arctan(x)
atan2           | np.arctan2(x, other)
sinh            | np.sinh(x)
cosh            | np.cosh(x)
tanh            | np.tanh(x)
asinh           | np.arcsinh(x)
acosh           | np.arccosh(x)
atanh           | np.arctanh(x)
sinc            | np.sinc(x)
hypot           | np.hypot(x, other)
logaddexp       | np.logaddexp(x, other)
logaddexp2      | np.logaddexp2(x, other)
deg2rad         | np.deg2rad(x)
rad2deg         | np.rad2deg(x)
floor           | np.floor(x)
ceil            | np.ceil(x)
round           | np.round(x, decimals)
trunc           | np.trunc(x)
frac            | _frac(x)
lerp            | _lerp(x, end, weight)
addcmul         | x + value * tensor1 * tensor2
addcdiv         | x + value * (tensor1 / tensor2)
maximum         | np.maximum(x, other)
minimum         | np.minimum(x, other)
fmax            | np.fmax(x, other)
fmin            | np.fmin(x, other)
clamp_min       | np.maximum(x, min)
clamp_max       | np.minimum(x, max)
where           | np.where(condition, x, other)
nan_to_num      | np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)
relu            | np.maximum(x, 0)
hardtanh        | np.clip(x, min_val, max_val)
hardsigmoid     | np.clip(x + 3, 0, 6) / 6
to              | x.astype(dtype)
stored          | x.astype(dtype)
clone           | x
to_device       | x
contiguous      | x
stop_gradient   | x
copy            | np.broadcast_to(src, out_shape)
fill            | np.full(out_shape, value, out_dtype)
masked_fill     | np.where(mask, value, x)
tril            | np.tril(x, diagonal)
triu            | np.triu(x, diagonal)
copysign        | np.copysign(x, other)
nextafter       | np.nextafter(x, other)
heaviside       | np.heaviside(x, values)
floor_divide    | np.floor_divide(x, other)
ldexp           | x * 2.0**other
frexp           | np.frexp(x)
isnan           | np.isnan(x)
isinf           | np.isinf(x)
isfinite        | np.isfinite(x)
isposinf        | np.isposinf(x)
isneginf        | np.isneginf(x)
signbit         | np.signbit(x)
logical_and     | np.logical_and(x, other)
logical_or      | np.logical_or(x, other)
logical_xor     | np.logical_xor(x, other)
logical_not     | np.logical_not(x)
erf             | sp.erf(x)
erfc            | sp.erfc(x)
erfinv          | sp.erfinv(x)
lgamma          | sp.gammaln(x)
digamma         | sp.digamma(x)
polygamma       | sp.polygamma(n, x)
mvlgamma        | sp.multigammaln(x, p)
i0              | sp.i0(x)
special_i0e     | sp.i0e(x)
special_i1      | sp.i1(x)
special_i1e     | sp.i1e(x)
special_ndtri   | sp.ndtri(x)
special_log_ndtr | sp.log_ndtr(x)
special_entr    | sp.entr(x)
special_xlog1py | sp.xlog1py(x, other)
special_zeta    | sp.zeta(x, other)
igamma          | sp.gammainc(x, other)
igammac         | sp.gammaincc(x, other)
xlogy           | sp.xlogy(x, other)
{numpy} special_erfcx | sp.erfcx(x)

sum             | x.sum(dim, keepdims=keepdim, dtype=dtype)
mean            | x.mean(dim, keepdims=keepdim, dtype=dtype)
nansum          | np.nansum(x, dim, keepdims=keepdim, dtype=dtype)
prod            | x.prod(dim, keepdims=keepdim, dtype=dtype)
var             | x.var(dim, ddof=correction, keepdims=keepdim)
std             | x.std(dim, ddof=correction, keepdims=keepdim)
amax            | x.max(dim, keepdims=keepdim)
amin            | x.min(dim, keepdims=keepdim)
max             | x.max()
min             | x.min()
argmax          | x.argmax(dim, keepdims=keepdim)
argmin          | x.argmin(dim, keepdims=keepdim)
cumsum          | x.cumsum(dim, dtype=dtype)
cumprod         | x.cumprod(dim, dtype=dtype)
any             | x.any(dim, keepdims=keepdim)
all             | x.all(dim, keepdims=keepdim)
count_nonzero   | np.count_nonzero(x, dim)
{numpy} logcumsumexp | np.logaddexp.accumulate(x, dim)
{jax} logcumsumexp   | jax.lax.cumlogsumexp(x, dim)

mm              | x @ mat2
bmm             | x @ mat2
mv              | x @ vec
dot             | x @ tensor
vdot            | x @ other
linalg_cross    | np.cross(x, other, axis=dim)
trace           | np.trace(x)
linalg_inv      | np.linalg.inv(A)
linalg_det      | np.linalg.det(A)
linalg_slogdet  | np.linalg.slogdet(A)
linalg_cholesky | np.linalg.cholesky(x, upper=upper)
linalg_qr       | np.linalg.qr(A, mode)
linalg_eigh     | np.linalg.eigh(x, UPLO)

view            | x.reshape(*size)
reshape         | x.reshape(*shape)
squeeze         | x.reshape(*out_shape)
permute         | x.transpose(dims)
transpose       | x.swapaxes(dim0, dim1)
expand          | np.broadcast_to(x, out_shape)
unsqueeze       | np.expand_dims(x, dim)
diagonal        | x.diagonal(offset, dim1, dim2)
unbind          | tuple(np.moveaxis(x, dim, 0))

stack           | np.stack(tensors, dim)
flip            | np.flip(x, dims)
rot90           | np.rot90(x, k, dims)
repeat          | np.tile(x, repeats)

gather          | x[_places(index, dim)]
index_select    | np.take(x, index, axis=dim)
take            | x.reshape(-1)[index]
embedding       | weight[indices]
one_hot         | (np.expand_dims(x, -1) == np.arange(num_classes)).astype(out_dtype)

zeros_like      | np.zeros_like(x)
ones_like       | np.ones_like(x)
full_like       | np.full_like(x, fill_value)
new_zeros       | np.zeros(out_shape, out_dtype)
eye             | np.eye(n, m, dtype=out_dtype)
linspace        | np.linspace(start, end, steps, dtype=out_dtype)
"""

# Operators that are refused: which, why, and what to write instead.
REFUSED = """
median nanmedian median_dim nanmedian_dim kthvalue mode cummax cummin \
    | the library has none that says where the element stands | use sort and an index
fractional_max_pool2d fractional_max_pool3d grid_sample affine_grid_generator interpolate \
    adaptive_max_pool2d adaptive_max_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d \
    max_unpool2d max_unpool3d max_pool3d_with_indices avg_pool3d pad_edges im2col col2im \
    pixel_shuffle pixel_unshuffle channel_shuffle \
    | the library has no such operator on images | use reshape, slices and mean, or max_pool2d
multi_margin_loss multilabel_margin_loss_forward pdist cdist_forward trilinear euclidean_dist \
    dist renorm | the library has no counterpart | write its formula
linalg_solve linalg_matrix_exp linalg_lu_factor linalg_lu_solve linalg_pinv \
    | it rests on a factorisation that the library does not share | use torch.linalg.inv and @
transposed1d transposed2d transposed3d \
    | transposed convolutions have no spelling yet | keep this module in torch
masked_scatter put scatter_reduce index_reduce multinomial rrelu_with_noise \
    | the library has no counterpart | use where, index_put, or rand_like of a tensor
linalg_svd | it chooses other signs of the singular vectors than torch does \
    | use torch.linalg.eigh(x.mT @ x), or keep this module in torch
flash_attention | it is a kernel of torch's own | emit the plain spelling
{jax} special_erfcx | jax.scipy.special has no erfcx | write torch.exp(x * x) * torch.erfc(x)
"""
GRADIENT = ("it is a kernel of torch's own", "emit the plain spelling, or keep this module torch's")
