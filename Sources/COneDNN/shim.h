// One matrix product c ← α·a·b + β·c as a oneDNN primitive. This header is the only place that knows that the C
// interface of oneDNN 3 differs from that of oneDNN 2.
#pragma once

#include <dnnl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// A matrix: element (i, j) is at i·row_stride + j·column_stride, in elements.
typedef struct {
  int64_t rows, columns, row_stride, column_stride;
  dnnl_data_type_t type;
} onednn_matrix;

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t onednn_layout;  // a handle
static inline const_dnnl_memory_desc_t onednn_reference(const onednn_layout *layout) { return *layout; }
static inline void onednn_layout_destroy(onednn_layout *layout) {
  if (*layout) dnnl_memory_desc_destroy(*layout);
}
#else
typedef dnnl_memory_desc_t onednn_layout;  // a value
static inline const dnnl_memory_desc_t *onednn_reference(const onednn_layout *layout) { return layout; }
static inline void onednn_layout_destroy(onednn_layout *layout) { (void)layout; }
#endif

// A product of fixed sizes, types and factors. It may run on several threads at once: the scratch memory is the
// caller's.
typedef struct {
  dnnl_engine_t engine;
  dnnl_primitive_t primitive;
  onednn_layout a, b, c, scratch;
  size_t scratch_byte_count;
} onednn_product;

static inline dnnl_status_t onednn_layout_create(onednn_layout *layout, const onednn_matrix *matrix) {
  const dnnl_dims_t dims = {matrix->rows, matrix->columns};
  const dnnl_dims_t strides = {matrix->row_stride, matrix->column_stride};
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_memory_desc_create_with_strides(layout, 2, dims, matrix->type, strides);
#else
  return dnnl_memory_desc_init_by_strides(layout, 2, dims, matrix->type, strides);
#endif
}

// The factors become operations behind the product: first α, then the sum with β times the old c.
static inline dnnl_status_t onednn_append_factors(dnnl_post_ops_t operations, float alpha, float beta) {
  dnnl_status_t status = dnnl_success;
#if DNNL_VERSION_MAJOR >= 3
  if (alpha != 1) status = dnnl_post_ops_append_eltwise(operations, dnnl_eltwise_linear, alpha, 0);
  if (status == dnnl_success && beta != 0)
    status = dnnl_post_ops_append_sum(operations, beta, 0, dnnl_data_type_undef);
#else
  if (alpha != 1) status = dnnl_post_ops_append_eltwise(operations, 1, dnnl_eltwise_linear, alpha, 0);
  if (status == dnnl_success && beta != 0) status = dnnl_post_ops_append_sum(operations, beta);
#endif
  return status;
}

static inline dnnl_status_t onednn_describe_product(
    dnnl_primitive_desc_t *description, onednn_product *product, dnnl_primitive_attr_t attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_matmul_primitive_desc_create(
      description, product->engine, product->a, product->b, NULL, product->c, attributes);
#else
  dnnl_matmul_desc_t operation;
  dnnl_status_t status = dnnl_matmul_desc_init(&operation, &product->a, &product->b, NULL, &product->c);
  if (status != dnnl_success) return status;
  return dnnl_primitive_desc_create(description, &operation, attributes, product->engine, NULL);
#endif
}

static inline dnnl_status_t onednn_query_scratch(onednn_product *product, dnnl_primitive_desc_t description) {
#if DNNL_VERSION_MAJOR >= 3
  const_dnnl_memory_desc_t found = dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
  product->scratch_byte_count = dnnl_memory_desc_get_size(found);
  return dnnl_memory_desc_clone(&product->scratch, found);
#else
  const dnnl_memory_desc_t *found = dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
  product->scratch_byte_count = dnnl_memory_desc_get_size(found);
  product->scratch = *found;
  return dnnl_success;
#endif
}

// Whether the library found more than its slow reference kernel.
static inline int onednn_is_fast(dnnl_primitive_desc_t description) {
  const char *name = NULL;
  return dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &name) == dnnl_success &&
         name && strncmp(name, "ref", 3) != 0;
}

static inline void onednn_product_destroy(onednn_product *product) {
  if (!product) return;
  if (product->primitive) dnnl_primitive_destroy(product->primitive);
  onednn_layout_destroy(&product->a);
  onednn_layout_destroy(&product->b);
  onednn_layout_destroy(&product->c);
  onednn_layout_destroy(&product->scratch);
  free(product);
}

// NULL where the library has no kernel for the product or no memory for it.
static inline onednn_product *onednn_product_create(
    dnnl_engine_t engine, onednn_matrix a, onednn_matrix b, onednn_matrix c, float alpha, float beta) {
  onednn_product *product = (onednn_product *)calloc(1, sizeof(onednn_product));
  if (!product) return NULL;
  product->engine = engine;
  dnnl_post_ops_t operations = NULL;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t description = NULL;
  int ok = onednn_layout_create(&product->a, &a) == dnnl_success &&
           onednn_layout_create(&product->b, &b) == dnnl_success &&
           onednn_layout_create(&product->c, &c) == dnnl_success &&
           dnnl_post_ops_create(&operations) == dnnl_success &&
           onednn_append_factors(operations, alpha, beta) == dnnl_success &&
           dnnl_primitive_attr_create(&attributes) == dnnl_success &&
           dnnl_primitive_attr_set_post_ops(attributes, operations) == dnnl_success &&
           dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success &&
           onednn_describe_product(&description, product, attributes) == dnnl_success &&
           onednn_is_fast(description) && onednn_query_scratch(product, description) == dnnl_success &&
           dnnl_primitive_create(&product->primitive, description) == dnnl_success;
  if (description) dnnl_primitive_desc_destroy(description);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  if (operations) dnnl_post_ops_destroy(operations);
  if (ok) return product;
  onednn_product_destroy(product);
  return NULL;
}

// Runs the product; `scratch` holds scratch_byte_count bytes, 64-byte aligned.
static inline dnnl_status_t onednn_product_run(
    const onednn_product *product, const void *a, const void *b, void *c, void *scratch) {
  dnnl_stream_t stream = NULL;
  dnnl_exec_arg_t arguments[4] = {
      {DNNL_ARG_SRC, NULL}, {DNNL_ARG_WEIGHTS, NULL}, {DNNL_ARG_DST, NULL}, {DNNL_ARG_SCRATCHPAD, NULL}};
  const onednn_layout *layouts[4] = {&product->a, &product->b, &product->c, &product->scratch};
  void *addresses[4] = {(void *)a, (void *)b, c, scratch};
  dnnl_status_t status = dnnl_stream_create(&stream, product->engine, dnnl_stream_default_flags);
  for (int i = 0; i < 4 && status == dnnl_success; i++)
    status = dnnl_memory_create(
        &arguments[i].memory, onednn_reference(layouts[i]), product->engine, addresses[i]);
  if (status == dnnl_success) status = dnnl_primitive_execute(product->primitive, stream, 4, arguments);
  if (status == dnnl_success) status = dnnl_stream_wait(stream);
  for (int i = 0; i < 4; i++)
    if (arguments[i].memory) dnnl_memory_destroy(arguments[i].memory);
  if (stream) dnnl_stream_destroy(stream);
  return status;
}
