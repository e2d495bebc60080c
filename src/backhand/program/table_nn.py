"""Rows of the op table for neural-network operators and their gradient kernels."""

TABLE_NN = """
[composite]
safe_softmax(x, dim, dtype=None)                         | torch.ops.aten._safe_softmax
native_layer_norm(x, normalized_shape, weight, bias, eps) | torch.native_layer_norm | outs=3
native_group_norm(x, weight, bias, N, C, HxW, group, eps) | torch.native_group_norm | outs=3
native_batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps) | torch.native_batch_norm | outs=3
mse_loss(x, target, *, reduction='mean')                 | torch.nn.functional.mse_loss
smooth_l1_loss(x, target, *, reduction='mean', beta=1.0) | torch.nn.functional.smooth_l1_loss
huber_loss(x, target, *, reduction='mean', delta=1.0)    | torch.nn.functional.huber_loss
soft_margin_loss(x, target, *, reduction='mean')         | torch.nn.functional.soft_margin_loss
multi_margin_loss(x, target, p=1, margin=1.0, weight=None, *, reduction='mean') | torch.nn.functional.multi_margin_loss
multilabel_margin_loss_forward(x, target, reduction)     | torch.ops.aten.multilabel_margin_loss_forward | outs=2
binary_cross_entropy(x, target, weight=None, *, reduction='mean') | torch.nn.functional.binary_cross_entropy
binary_cross_entropy_with_logits(x, target, weight=None, *, reduction='mean', pos_weight=None) | torch.nn.functional.binary_cross_entropy_with_logits
nll(x, target, weight=None, *, ignore_index=-100, reduction='mean') | torch.nn.functional.nll_loss
pdist(x, p=2.0)                                          | torch.nn.functional.pdist
cdist_forward(x1, x2, p, compute_mode)                   | torch.ops.aten._cdist_forward
trilinear(i1, i2, i3, expand1, expand2, expand3, sumdim, unroll_dim=1) | torch._trilinear
convolution1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) | torch.nn.functional.conv1d
convolution2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) | torch.nn.functional.conv2d
convolution3d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) | torch.nn.functional.conv3d
transposed1d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1) | torch.nn.functional.conv_transpose1d
transposed2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1) | torch.nn.functional.conv_transpose2d
transposed3d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1) | torch.nn.functional.conv_transpose3d
max_pool2d_with_indices(x, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False) | torch.ops.aten.max_pool2d_with_indices | outs=2
max_pool3d_with_indices(x, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False) | torch.ops.aten.max_pool3d_with_indices | outs=2
avg_pool2d(x, kernel_size, stride=(), padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None) | torch.nn.functional.avg_pool2d
avg_pool3d(x, kernel_size, stride=(), padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None) | torch.nn.functional.avg_pool3d
_adaptive_avg_pool2d(x, output_size)                     | torch.nn.functional.adaptive_avg_pool2d
_adaptive_avg_pool3d(x, output_size)                     | torch.nn.functional.adaptive_avg_pool3d
adaptive_max_pool2d(x, output_size)                      | torch.ops.aten.adaptive_max_pool2d | outs=2
adaptive_max_pool3d(x, output_size)                      | torch.ops.aten.adaptive_max_pool3d | outs=2
fractional_max_pool2d(x, kernel_size, output_size, random_samples) | torch.ops.aten.fractional_max_pool2d | outs=2
fractional_max_pool3d(x, kernel_size, output_size, random_samples) | torch.ops.aten.fractional_max_pool3d | outs=2
max_unpool2d(x, indices, output_size)                    | torch.ops.aten.max_unpool2d
max_unpool3d(x, indices, output_size, stride, padding)   | torch.ops.aten.max_unpool3d
interpolate(x, size=None, scale_factor=None, mode='nearest', align_corners=None, *, antialias=False) | torch.nn.functional.interpolate
pad_edges(x, pad, mode)                                  | torch.nn.functional.pad
pixel_shuffle(x, upscale_factor)                         | torch.nn.functional.pixel_shuffle
pixel_unshuffle(x, downscale_factor)                     | torch.nn.functional.pixel_unshuffle
channel_shuffle(x, groups)                               | torch.nn.functional.channel_shuffle
im2col(x, kernel_size, dilation=1, padding=0, stride=1)  | torch.nn.functional.unfold
col2im(x, output_size, kernel_size, dilation=1, padding=0, stride=1) | torch.nn.functional.fold
affine_grid_generator(theta, size, align_corners=False)  | torch.nn.functional.affine_grid
grid_sample(x, grid, mode='bilinear', padding_mode='zeros', align_corners=False) | torch.nn.functional.grid_sample
attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *, scale=None) | torch.nn.functional.scaled_dot_product_attention

[gradient]
contiguous(x)                                            | method
native_layer_norm_backward(g, x, normalized_shape, mean, rstd, weight, bias, output_mask) | torch.ops.aten.native_layer_norm_backward | outs=3
native_group_norm_backward(g, x, mean, rstd, weight, N, C, HxW, group, output_mask) | torch.ops.aten.native_group_norm_backward | outs=3
native_batch_norm_backward(g, x, weight, running_mean, running_var, mean, rstd, train, eps, output_mask) | torch.ops.aten.native_batch_norm_backward | outs=3
mse_loss_backward(g, x, target, reduction)               | torch.ops.aten.mse_loss_backward
smooth_l1_loss_backward(g, x, target, reduction, beta)   | torch.ops.aten.smooth_l1_loss_backward
huber_loss_backward(g, x, target, reduction, delta)      | torch.ops.aten.huber_loss_backward
soft_margin_loss_backward(g, x, target, reduction)       | torch.ops.aten.soft_margin_loss_backward
multi_margin_loss_backward(g, x, target, p, margin, weight, reduction) | torch.ops.aten.multi_margin_loss_backward
multilabel_margin_loss_backward(g, x, target, reduction, is_target) | torch.ops.aten.multilabel_margin_loss_backward
binary_cross_entropy_backward(g, x, target, weight, reduction) | torch.ops.aten.binary_cross_entropy_backward
nll_loss_forward(x, target, weight, reduction, ignore_index) | torch.ops.aten.nll_loss_forward | outs=2
nll_loss2d_forward(x, target, weight, reduction, ignore_index) | torch.ops.aten.nll_loss2d_forward | outs=2
nll_loss_backward(g, x, target, weight, reduction, ignore_index, total_weight) | torch.ops.aten.nll_loss_backward
nll_loss2d_backward(g, x, target, weight, reduction, ignore_index, total_weight) | torch.ops.aten.nll_loss2d_backward
pdist_backward(g, x, p, y)                               | torch.ops.aten._pdist_backward
cdist_backward(g, x1, x2, p, y)                          | torch.ops.aten._cdist_backward
convolution_backward(g, x, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups, output_mask) | torch.ops.aten.convolution_backward | outs=3
conv1d_input(input_size, weight, g, stride=1, padding=0, dilation=1, groups=1) | torch.nn.grad.conv1d_input
conv2d_input(input_size, weight, g, stride=1, padding=0, dilation=1, groups=1) | torch.nn.grad.conv2d_input
conv3d_input(input_size, weight, g, stride=1, padding=0, dilation=1, groups=1) | torch.nn.grad.conv3d_input
conv1d_weight(x, weight_size, g, stride=1, padding=0, dilation=1, groups=1) | torch.nn.grad.conv1d_weight
conv2d_weight(x, weight_size, g, stride=1, padding=0, dilation=1, groups=1) | torch.nn.grad.conv2d_weight
conv3d_weight(x, weight_size, g, stride=1, padding=0, dilation=1, groups=1) | torch.nn.grad.conv3d_weight
max_pool2d_backward(g, x, kernel_size, stride, padding, dilation, ceil_mode, indices) | torch.ops.aten.max_pool2d_with_indices_backward
max_pool3d_backward(g, x, kernel_size, stride, padding, dilation, ceil_mode, indices) | torch.ops.aten.max_pool3d_with_indices_backward
avg_pool2d_backward(g, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override) | torch.ops.aten.avg_pool2d_backward
avg_pool3d_backward(g, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override) | torch.ops.aten.avg_pool3d_backward
adaptive_avg_pool2d_backward(g, x)                       | torch.ops.aten._adaptive_avg_pool2d_backward
adaptive_avg_pool3d_backward(g, x)                       | torch.ops.aten._adaptive_avg_pool3d_backward
adaptive_max_pool2d_backward(g, x, indices)              | torch.ops.aten.adaptive_max_pool2d_backward
adaptive_max_pool3d_backward(g, x, indices)              | torch.ops.aten.adaptive_max_pool3d_backward
fractional_max_pool2d_backward(g, x, kernel_size, output_size, indices) | torch.ops.aten.fractional_max_pool2d_backward
fractional_max_pool3d_backward(g, x, kernel_size, output_size, indices) | torch.ops.aten.fractional_max_pool3d_backward
upsample_nearest1d_backward(g, output_size, input_size, scales=None) | torch.ops.aten.upsample_nearest1d_backward
upsample_nearest2d_backward(g, output_size, input_size, scales_h=None, scales_w=None) | torch.ops.aten.upsample_nearest2d_backward
upsample_nearest3d_backward(g, output_size, input_size, scales_d=None, scales_h=None, scales_w=None) | torch.ops.aten.upsample_nearest3d_backward
_upsample_nearest_exact1d_backward(g, output_size, input_size, scales=None) | torch.ops.aten._upsample_nearest_exact1d_backward
_upsample_nearest_exact2d_backward(g, output_size, input_size, scales_h=None, scales_w=None) | torch.ops.aten._upsample_nearest_exact2d_backward
_upsample_nearest_exact3d_backward(g, output_size, input_size, scales_d=None, scales_h=None, scales_w=None) | torch.ops.aten._upsample_nearest_exact3d_backward
upsample_linear1d_backward(g, output_size, input_size, align_corners, scales=None) | torch.ops.aten.upsample_linear1d_backward
upsample_bilinear2d_backward(g, output_size, input_size, align_corners, scales_h=None, scales_w=None) | torch.ops.aten.upsample_bilinear2d_backward
upsample_bicubic2d_backward(g, output_size, input_size, align_corners, scales_h=None, scales_w=None) | torch.ops.aten.upsample_bicubic2d_backward
upsample_trilinear3d_backward(g, output_size, input_size, align_corners, scales_d=None, scales_h=None, scales_w=None) | torch.ops.aten.upsample_trilinear3d_backward
_upsample_bilinear2d_aa_backward(g, output_size, input_size, align_corners, scales_h=None, scales_w=None) | torch.ops.aten._upsample_bilinear2d_aa_backward
_upsample_bicubic2d_aa_backward(g, output_size, input_size, align_corners, scales_h=None, scales_w=None) | torch.ops.aten._upsample_bicubic2d_aa_backward
reflection_pad1d_backward(g, x, padding)                 | torch.ops.aten.reflection_pad1d_backward
reflection_pad2d_backward(g, x, padding)                 | torch.ops.aten.reflection_pad2d_backward
reflection_pad3d_backward(g, x, padding)                 | torch.ops.aten.reflection_pad3d_backward
replication_pad1d_backward(g, x, padding)                | torch.ops.aten.replication_pad1d_backward
replication_pad2d_backward(g, x, padding)                | torch.ops.aten.replication_pad2d_backward
replication_pad3d_backward(g, x, padding)                | torch.ops.aten.replication_pad3d_backward
affine_grid_generator_backward(g, size, align_corners)   | torch.ops.aten.affine_grid_generator_backward
grid_sampler_2d_backward(g, x, grid, interpolation_mode, padding_mode, align_corners, output_mask) | torch.ops.aten.grid_sampler_2d_backward | outs=2
grid_sampler_3d_backward(g, x, grid, interpolation_mode, padding_mode, align_corners, output_mask) | torch.ops.aten.grid_sampler_3d_backward | outs=2
flash_attention(query, key, value, dropout_p=0.0, is_causal=False, *, attn_mask=None, scale=None) | torch.ops.aten._scaled_dot_product_flash_attention_for_cpu | outs=2
flash_attention_backward(g, query, key, value, y, lse, dropout_p, is_causal, *, attn_mask=None, scale=None) | torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward | outs=3
"""
