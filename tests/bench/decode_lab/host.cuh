// Decode lab: which kernel and launch structure reads OPT's weights fastest at batch 1. See README.md.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kern.cuh"
#define CK(x)                                                                         \
  do {                                                                                \
    cudaError_t e_ = (x);                                                             \
    if (e_ != cudaSuccess) {                                                          \
      printf("ERROR %s:%d %s: %s\n", __FILE__, __LINE__, #x, cudaGetErrorString(e_)); \
      fflush(stdout);                                                                 \
      exit(3);                                                                        \
    }                                                                                 \
  } while (0)

static int g_sms;
static cudaStream_t g_st;
static double g_copy, g_read;
static FILE* g_csv;

template <class... P, class... A>
static void launch(void (*k)(P...), int grid, int block, int sm, bool pdl, bool coop, A... args) {
  CK(cudaFuncSetAttribute((const void*)k, cudaFuncAttributeMaxDynamicSharedMemorySize, sm));
  cudaLaunchConfig_t c = {};
  c.gridDim = grid;
  c.blockDim = block;
  c.dynamicSmemBytes = sm;
  c.stream = g_st;
  cudaLaunchAttribute at[2];
  int n = 0;
  if (pdl) {
    at[n].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    at[n++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (coop) {
    at[n].id = cudaLaunchAttributeCooperative;
    at[n++].val.cooperative = 1;
  }
  c.attrs = at;
  c.numAttrs = n;
  CK(cudaLaunchKernelEx(&c, k, static_cast<P>(args)...));
}
struct Timing {
  double med, lo, back;
};
static Timing time_graph(const std::function<void()>& body, int reps) {
  cudaGraph_t g;
  cudaGraphExec_t e;
  CK(cudaStreamBeginCapture(g_st, cudaStreamCaptureModeThreadLocal));
  body();
  CK(cudaStreamEndCapture(g_st, &g));
  CK(cudaGraphInstantiate(&e, g, 0));
  cudaEvent_t a, b;
  CK(cudaEventCreate(&a));
  CK(cudaEventCreate(&b));
  for (int i = 0; i < 3; ++i) {
    CK(cudaGraphLaunch(e, g_st));
  }
  CK(cudaStreamSynchronize(g_st));
  std::vector<double> v;
  for (int i = 0; i < reps; ++i) {
    CK(cudaEventRecord(a, g_st));
    CK(cudaGraphLaunch(e, g_st));
    CK(cudaEventRecord(b, g_st));
    CK(cudaEventSynchronize(b));
    float ms;
    CK(cudaEventElapsedTime(&ms, a, b));
    v.push_back(ms);
  }
  CK(cudaEventRecord(a, g_st));
  for (int i = 0; i < reps; ++i) {
    CK(cudaGraphLaunch(e, g_st));
  }
  CK(cudaEventRecord(b, g_st));
  CK(cudaEventSynchronize(b));
  float ms;
  CK(cudaEventElapsedTime(&ms, a, b));
  std::sort(v.begin(), v.end());
  CK(cudaGraphExecDestroy(e));
  CK(cudaGraphDestroy(g));
  return {v[v.size() / 2], v[0], ms / reps};
}
static void run_once(const std::function<void()>& body) {
  body();
  CK(cudaGetLastError());
  CK(cudaStreamSynchronize(g_st));
}
template <class T>
static T* dalloc(size_t n) {
  T* p;
  CK(cudaMalloc(&p, n * sizeof(T)));
  return p;
}
static std::vector<float> host(const float* p, size_t n) {
  std::vector<float> v(n);
  CK(cudaMemcpy(v.data(), p, n * 4, cudaMemcpyDeviceToHost));
  return v;
}
static double rel(const std::vector<float>& a, const std::vector<float>& r) {
  double e = 0, s = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    e += ((double)a[i] - r[i]) * ((double)a[i] - r[i]);
    s += (double)r[i] * r[i];
  }
  return std::sqrt(e / s);
}
static void fillh(__half* p, size_t n, float s, uint64_t seed) {
  fill_half<<<g_sms * 8, 256, 0, g_st>>>(p, n, s, seed << 40);
  CK(cudaGetLastError());
}
static void fillf(float* p, size_t n, float s, float sh, uint64_t seed) {
  fill_float<<<g_sms, 256, 0, g_st>>>(p, n, s, sh, seed << 40);
  CK(cudaGetLastError());
}

static void measure_ceilings(void* buf, size_t bytes, bool print) {
  const size_t half = std::min<size_t>(bytes / 2, 4ull << 30) & ~size_t(4095);
  cudaEvent_t a, b;
  CK(cudaEventCreate(&a));
  CK(cudaEventCreate(&b));
  unsigned* out = dalloc<unsigned>(1);
  std::vector<double> c, r;
  for (int i = 0; i < 7; ++i) {
    float ms;
    CK(cudaEventRecord(a, g_st));
    CK(cudaMemcpyAsync((char*)buf + half, buf, half, cudaMemcpyDeviceToDevice, g_st));
    CK(cudaEventRecord(b, g_st));
    CK(cudaEventSynchronize(b));
    CK(cudaEventElapsedTime(&ms, a, b));
    c.push_back(2.0 * half / ms * 1e-9);
    CK(cudaEventRecord(a, g_st));
    read_kernel<<<g_sms * 4, 512, 0, g_st>>>((uint4*)buf, 2 * half / 16, out);
    CK(cudaEventRecord(b, g_st));
    CK(cudaEventSynchronize(b));
    CK(cudaEventElapsedTime(&ms, a, b));
    r.push_back(2.0 * half / ms * 1e-9);
  }
  std::sort(c.begin(), c.end());
  std::sort(r.begin(), r.end());
  g_copy = c[3];
  g_read = r[3];
  if (print) {
    printf("CEIL copy %.3f TB/s (read+write, %.1f GB)  read-only %.3f TB/s\n", g_copy, 2 * half * 1e-9, g_read);
  }
}

// ---- model ---------------------------------------------------------------------------------------------------------
struct Host {
  Model m;
  size_t wbytes;
};
static Host make(int d, int layers, int vocab, int old) {
  Host h = {};
  Model& m = h.m;
  m.d = d;
  m.layers = layers;
  m.heads = d / HD;
  m.vocab = vocab;
  m.old = old;
  m.splits = 1;
  const size_t per = (size_t)12 * d * d, hn = (size_t)vocab * d;
  __half* w = dalloc<__half>(per * layers + hn);
  h.wbytes = (per * layers + hn) * 2;
  for (int l = 0; l < layers; ++l) {
    fillh(w + per * l, per / 12 * 8, 1.2f / std::sqrt((float)d), 100 + 2 * l);
    fillh(w + per * l + per / 12 * 8, per / 12 * 4, 0.8f / std::sqrt((float)d), 101 + 2 * l);
  }
  fillh(w + per * layers, hn, 1.0f / std::sqrt((float)d), 7);
  m.w = w;
  m.head = w + per * layers;
  float* p = dalloc<float>((size_t)13 * d * layers + 2 * d);
  fillf(p, (size_t)13 * d * layers + 2 * d, 0.1f, 0.f, 9);
  for (int l = 0; l <= layers; ++l) {  // gains near 1
    float* g = p + (size_t)l * 13 * d;
    if (l < layers) {
      fillf(g + 9 * d, d, 0.2f, 1.f, 2000 + l);
      fillf(g + 11 * d, d, 0.2f, 1.f, 3000 + l);
    } else {
      fillf(g, d, 0.2f, 1.f, 4000);
    }
  }
  m.p = p;
  const size_t cn = (size_t)layers * m.heads * TMAX * HD;
  m.kc = dalloc<__half>(cn);
  m.vc = dalloc<__half>(cn);
  fillh(m.kc, cn, 1.f, 11);
  fillh(m.vc, cn, 1.f, 12);
  m.x0 = dalloc<float>(d);
  fillf(m.x0, d, 1.f, 0.f, 13);
  float* act = dalloc<float>((size_t)16 * d + vocab + 1024 * (HD + 2) + 64);
  m.xa = act;
  m.xb = act + d;
  m.xn = act + 2 * d;
  m.q = act + 3 * d;
  m.att = act + 4 * d;
  m.h = act + 5 * d;
  m.logits = act + 9 * d;
  m.po = act + 9 * d + vocab;
  m.pm = m.po + 1024 * HD;
  m.pl = m.pm + 1024;
  m.ctr = dalloc<unsigned>(32);
  CK(cudaStreamSynchronize(g_st));
  return h;
}
static void poison(const Model& m) {
  CK(cudaMemsetAsync(m.xa, 0xff, (m.pl + 1024 - m.xa) * 4, g_st));
  poison_cache<<<g_sms, 256, 0, g_st>>>(m.kc, (size_t)m.layers * m.heads, m.old);
  poison_cache<<<g_sms, 256, 0, g_st>>>(m.vc, (size_t)m.layers * m.heads, m.old);
  CK(cudaGetLastError());
}
struct Ptr {
  const __half *wq, *wo, *w1, *w2;
  const float *bq, *bo, *b1, *b2, *g1, *e1, *g2, *e2, *xin;
  __half *kc, *vc;
};
static Ptr at(const Model& m, int l) {
  const size_t d = m.d, dd = d * d;
  const __half* w = m.w + 12 * dd * l;
  const float* p = m.p + 13 * d * l;
  const size_t cl = (size_t)m.heads * TMAX * HD;
  return {w,          w + 3 * dd, w + 4 * dd,      w + 8 * dd,    p,
          p + 3 * d,  p + 4 * d,  p + 8 * d,       p + 9 * d,     p + 10 * d,
          p + 11 * d, p + 12 * d, l ? m.xb : m.x0, m.kc + cl * l, m.vc + cl * l};
}
static GemvArgs ga(const Model& m, const __half* w, const float* x, const float* g, const float* b, const float* bias,
                   const float* res, float* y, int n, int k, __half* kc = nullptr, __half* vc = nullptr) {
  return {w, x, g, b, bias, res, y, kc, vc, m.po, m.pm, m.pl, n, k, m.d, m.old, m.splits, (n + g_sms - 1) / g_sms + 1};
}
static void reference(const Model& m) {
  auto gem = [&](auto k, GemvArgs a) {
    k<<<(a.n + 7) / 8, 256, 0, g_st>>>(a);
    CK(cudaGetLastError());
  };
  const int d = m.d;
  for (int l = 0; l < m.layers; ++l) {
    Ptr p = at(m, l);
    ref_ln<<<1, 256, 0, g_st>>>(p.xin, p.g1, p.e1, m.xn, d);
    gem(ref_gemv<kQkv>, ga(m, p.wq, m.xn, 0, 0, p.bq, 0, m.q, 3 * d, d, p.kc, p.vc));
    ref_attn<<<m.heads, HD, 0, g_st>>>(AttnArgs{m.q, p.kc, p.vc, m.att, 0, 0, 0, m.old, 1});
    gem(ref_gemv<kRes>, ga(m, p.wo, m.att, 0, 0, p.bo, p.xin, m.xa, d, d));
    ref_ln<<<1, 256, 0, g_st>>>(m.xa, p.g2, p.e2, m.xn, d);
    gem(ref_gemv<kRelu>, ga(m, p.w1, m.xn, 0, 0, p.b1, 0, m.h, 4 * d, d));
    gem(ref_gemv<kRes>, ga(m, p.w2, m.h, 0, 0, p.b2, m.xa, m.xb, d, 4 * d));
  }
  const float* p = m.p + (size_t)m.layers * 13 * d;
  ref_ln<<<1, 256, 0, g_st>>>(m.xb, p, p + d, m.xn, d);
  gem(ref_gemv<kPlain>, ga(m, m.head, m.xn, 0, 0, 0, 0, m.logits, m.vocab, d));
  CK(cudaStreamSynchronize(g_st));
}
