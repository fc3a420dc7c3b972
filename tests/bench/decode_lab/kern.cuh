// Kernels of the decode lab: LDG gemv, ring gemv, attention, the persistent decode step, references.
#pragma once
#include "prims.cuh"

struct Model {
  const __half* w;     // per layer: qkv [3d][d], out [d][d], fc1 [4d][d], fc2 [d][4d]
  const __half* head;  // [vocab][d]
  const float* p;      // per layer: bqkv 3d, bo d, b1 4d, b2 d, g1 d, e1 d, g2 d, e2 d = 13d; then gf d, ef d
  __half *kc, *vc;     // [layer][head][TMAX][128]
  float *x0, *xa, *xb, *xn, *q, *att, *h, *logits, *po, *pm, *pl;
  unsigned* ctr;
  int d, layers, heads, vocab, old, splits, flags;
};
DEV size_t layer_w(const Model& m, int l) { return (size_t)l * 12 * m.d * m.d; }
enum { kPlain, kRelu, kRes, kQkv };
enum { kX, kLn, kSplit };

struct GemvArgs {
  const __half* w;
  const float *x, *g, *b, *bias, *res;
  float* y;
  __half *kc, *vc;
  const float *po, *pm, *pl;
  int n, k, d, old, splits, rmax;
};
DEV void split_rows(int b, int G, int N, int& r0, int& n) {
  r0 = (int)((unsigned)b * (unsigned)N / (unsigned)G);
  n = (int)((unsigned)(b + 1) * (unsigned)N / (unsigned)G) - r0;
}
template <int EPI>
DEV void store_row(float s, int row, const float* bias, const float* res, float* y, __half* kc, __half* vc, int d,
                   int old) {
  if (bias) {
    s += bias[row];
  }
  if (EPI == kRelu) {
    s = fmaxf(s, 0.f);
  }
  if (EPI == kRes) {
    s += ldcg1(res + row);
  }
  if (EPI == kQkv && row >= d) {
    const int e = row - d >= d ? row - 2 * d : row - d;
    __half* c = row >= 2 * d ? vc : kc;
    c[((size_t)(e / HD) * TMAX + old) * HD + e % HD] = __float2half_rn(s);
  } else {
    y[row] = s;
  }
}
template <class C, int EPI>
DEV void epilogue(const float* sp, int rmax, int n, int r0, const float* bias, const float* res, float* y, __half* kc,
                  __half* vc, int d, int old, int tid) {
  bar_named(1, C::NT);
  for (int r = tid; r < n; r += C::NT) {
    float s = 0;
#pragma unroll
    for (int w = 0; w < C::NW; ++w) {
      s += sp[w * rmax + r];
    }
    store_row<EPI>(s, r0 + r, bias, res, y, kc, vc, d, old);
  }
}
extern __shared__ __align__(128) unsigned char smem[];

template <class C>
DEV Ring ring_init(unsigned char* mbar, int tid_all) {
  Ring q;
  q.base = smem_u32(smem);
  q.full = smem_u32(mbar);
  q.empty = q.full + 8 * C::NS;
  q.slot = 0;
  q.phase = 0;
  if (tid_all == 0) {
    for (int i = 0; i < C::NS; ++i) {
      mbar_init(q.full + 8 * i, 1);
      mbar_init(q.empty + 8 * i, C::NW);
    }
    mbar_fence_init();
  }
  __syncthreads();
  return q;
}

// ---- one stage, ring of shared memory ---------------------------------------------------------------------------
template <class C>
constexpr int tma_smem(int rmax) {
  return C::NS * C::TILE + C::NW * rmax * 4 + 256 + 16 * C::NS;
}
// LATE: dependents are launched after the wait, so that whatever they read of the launch before this one is complete.
template <class C, int SRC, int EPI, int CH, int OCC, bool LATE = false>
__global__ void __launch_bounds__(C::NT + 32, OCC) gemv_tma(GemvArgs a) {
  float* sp = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  float* red = sp + C::NW * a.rmax;
  const int tid = threadIdx.x;
  Ring q = ring_init<C>(reinterpret_cast<unsigned char*>(red + 64), tid);
  if (!LATE) {
    pdl_launch();
  }
  int r0, n;
  split_rows(blockIdx.x, gridDim.x, a.n, r0, n);
  if (tid >= C::NT) {
    if (tid == C::NT) {
      produce<C>(q, a.w, r0, n, (size_t)C::D * CH, CH, policy_evict_first());
    }
    return;
  }
  Affine<C> af;
  if (SRC == kLn) {
    af.early(a.g, a.b, tid);
  }
  pdl_wait();
  if (LATE) {
    pdl_launch();
  }
  float x[C::V][8];
  if (SRC == kSplit) {
    load_x_splits<C>(x, a.po, a.pm, a.pl, a.splits, tid);
  } else {
    load_x<C>(x, a.x, tid);
  }
  if (SRC == kLn) {
    layer_norm<C>(x, af, red, tid);
  }
  float* mine = sp + (tid >> 5) * a.rmax;
  if (CH == 1) {
    consume<C, false>(q, x, n, mine, tid);
  } else {
#pragma unroll
    for (int c = 0; c < CH; ++c) {
      float xn[C::V][8];
      if (c + 1 < CH) {
        load_x<C>(xn, a.x + (c + 1) * C::D, tid);
      }
      if (c == 0) {
        consume<C, false>(q, x, n, mine, tid);
      } else {
        consume<C, true>(q, x, n, mine, tid);
      }
      if (c + 1 < CH) {
#pragma unroll
        for (int v = 0; v < C::V; ++v)
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            x[v][i] = xn[v][i];
          }
      }
    }
  }
  epilogue<C, EPI>(sp, a.rmax, n, r0, a.bias, a.res, a.y, a.kc, a.vc, a.d, a.old, tid);
}

// ---- one stage, plain loads: RW rows per warp, U loads of 16 bytes per row in flight, x in shared memory ---------
template <typename XT>
struct XS;
template <>
struct XS<float> {
  static DEV void put(unsigned char* s, int K, int i, float v) {
    reinterpret_cast<float*>(s)[((i >> 2) & 1) * (K / 2) + (i >> 3) * 4 + (i & 3)] = v;
  }
  static DEV float get(unsigned char* s, int K, int i) {
    return reinterpret_cast<float*>(s)[((i >> 2) & 1) * (K / 2) + (i >> 3) * 4 + (i & 3)];
  }
  static DEV void load8(unsigned char* s, int K, int vec, float (&x)[8]) {
    const float4 a = reinterpret_cast<float4*>(s)[vec], b = reinterpret_cast<float4*>(s)[K / 8 + vec];
    x[0] = a.x;
    x[1] = a.y;
    x[2] = a.z;
    x[3] = a.w;
    x[4] = b.x;
    x[5] = b.y;
    x[6] = b.z;
    x[7] = b.w;
  }
};
template <>
struct XS<__half> {
  static DEV void put(unsigned char* s, int, int i, float v) { reinterpret_cast<__half*>(s)[i] = __float2half_rn(v); }
  static DEV float get(unsigned char* s, int, int i) { return __half2float(reinterpret_cast<__half*>(s)[i]); }
  static DEV void load8(unsigned char* s, int, int vec, float (&x)[8]) {
    const uint4 u = reinterpret_cast<uint4*>(s)[vec];
    const float2 a = h2f(u.x), b = h2f(u.y), c = h2f(u.z), d = h2f(u.w);
    x[0] = a.x;
    x[1] = a.y;
    x[2] = b.x;
    x[3] = b.y;
    x[4] = c.x;
    x[5] = c.y;
    x[6] = d.x;
    x[7] = d.y;
  }
};
template <int NT, int RW, int U, bool LN, typename XT, int EPI>
__global__ void __launch_bounds__(NT, NT >= 1024 ? 1 : 1024 / NT) gemv_ldg(GemvArgs a) {
  __shared__ float red[64];
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, K = a.k, chunks = K / (256 * U);
  const int groups = (a.n + RW - 1) / RW, stride = gridDim.x * (NT / 32);
  pdl_launch();
  int grp = blockIdx.x + warp * gridDim.x, c = 0;  // neighbouring blocks take neighbouring rows
  uint4 cur[RW][U], nxt[RW][U];
  auto fetch = [&](uint4(&w)[RW][U], int gr, int ch) {
    if (gr >= groups) {
      return;
    }
#pragma unroll
    for (int r = 0; r < RW; ++r)
#pragma unroll
      for (int u = 0; u < U; ++u)
        w[r][u] = ldg_stream(a.w + (size_t)min(gr * RW + r, a.n - 1) * K + (ch * U + u) * 256 + lane * 8);
  };
  fetch(cur, grp, 0);
  pdl_wait();
  if (LN) {
    float s = 0;
    for (int i = tid; i < K; i += NT) {
      const float v = ldcg1(a.x + i);
      XS<XT>::put(smem, K, i, v);
      s += v;
    }
    const float mean = block_sum<NT>(s, red, tid) / K;
    s = 0;
    for (int i = tid; i < K; i += NT) {
      const float v = XS<XT>::get(smem, K, i) - mean;
      s = fmaf(v, v, s);
    }
    const float rstd = rsqrtf(block_sum<NT>(s, red + 32, tid) / K + 1e-5f);
    for (int i = tid; i < K; i += NT) {
      XS<XT>::put(smem, K, i, fmaf((XS<XT>::get(smem, K, i) - mean) * rstd, a.g[i], a.b[i]));
    }
  } else {
    for (int i = tid * 4; i < K; i += NT * 4) {
      const float4 v = ldcg4(a.x + i);
      XS<XT>::put(smem, K, i, v.x);
      XS<XT>::put(smem, K, i + 1, v.y);
      XS<XT>::put(smem, K, i + 2, v.z);
      XS<XT>::put(smem, K, i + 3, v.w);
    }
  }
  __syncthreads();
  while (grp < groups) {
    float acc[RW];
#pragma unroll
    for (int r = 0; r < RW; ++r) {
      acc[r] = 0;
    }
    for (c = 0; c < chunks; ++c) {
      if (c + 1 < chunks) {
        fetch(nxt, grp, c + 1);
      } else {
        fetch(nxt, grp + stride, 0);
      }
#pragma unroll
      for (int u = 0; u < U; ++u) {
        float x[8];
        XS<XT>::load8(smem, K, (c * U + u) * 32 + lane, x);
#pragma unroll
        for (int r = 0; r < RW; ++r) {
          acc[r] = dot8(cur[r][u], x, acc[r]);
        }
      }
#pragma unroll
      for (int r = 0; r < RW; ++r)
#pragma unroll
        for (int u = 0; u < U; ++u) {
          cur[r][u] = nxt[r][u];
        }
    }
    const float s = warp_multi_sum<RW>(acc, lane);
    const int row = grp * RW + row_of_lane<RW>(lane);
    if ((lane & (32 / RW - 1)) == 0 && row < a.n) {
      store_row<EPI>(s, row, a.bias, a.res, a.y, a.kc, a.vc, a.d, a.old);
    }
    grp += stride;
  }
}
template <int NT>
__global__ void __launch_bounds__(NT) ln_kernel(const float* x, const float* g, const float* b, float* y, int K) {
  __shared__ float red[64];
  const int tid = threadIdx.x;
  pdl_launch();
  pdl_wait();
  float s = 0, v[32];
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const int e = tid + i * NT;
    v[i] = e < K ? ldcg1(x + e) : 0;
    s += v[i];
  }
  const float mean = block_sum<NT>(s, red, tid) / K;
  s = 0;
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const int e = tid + i * NT;
    v[i] -= mean;
    if (e < K) {
      s = fmaf(v[i], v[i], s);
    }
  }
  const float rstd = rsqrtf(block_sum<NT>(s, red + 32, tid) / K + 1e-5f);
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const int e = tid + i * NT;
    if (e < K) {
      y[e] = fmaf(v[i] * rstd, g[e], b[e]);
    }
  }
}
struct AttnArgs {
  const float* q;
  const __half *kc, *vc;
  float *out, *po, *pm, *pl;
  int old, splits;
};
template <int NT>
__global__ void __launch_bounds__(NT) attn_kernel(AttnArgs a) {
  __shared__ float sc[TMAX], sp[NT / 32 * (HD + 1)];
  const int h = blockIdx.x / a.splits, s = blockIdx.x % a.splits, tid = threadIdx.x, T = a.old + 1;
  const int t0 = s * T / a.splits, t1 = (s + 1) * T / a.splits;
  const __half *kc = a.kc + (size_t)h * TMAX * HD, *vc = a.vc + (size_t)h * TMAX * HD;
  pdl_launch();
  Attn<NT> at;
  at.preload(kc, vc, t0, min(a.old, t1), tid);
  pdl_wait();
  const bool part = a.splits > 1;
  at.run(a.q + h * HD, kc, vc, t0, t1, min(a.old, t1), sc, sp, part ? a.po + (size_t)blockIdx.x * HD : a.out + h * HD,
         a.pm + blockIdx.x, a.pl + blockIdx.x, part, tid);
}

// Small enough to sit beside a big ring; dependents start at once (they only fill their rings before their wait).
template <int NT, int KP, int MIN>
__global__ void __launch_bounds__(NT, MIN) attn_small(AttnArgs a) {
  __shared__ float sp[NT / 32 * (HD + 1)];
  float* sc = reinterpret_cast<float*>(smem);
  const int h = blockIdx.x / a.splits, s = blockIdx.x % a.splits, tid = threadIdx.x, T = a.old + 1;
  const int t0 = s * T / a.splits, t1 = (s + 1) * T / a.splits;
  const __half *kc = a.kc + (size_t)h * TMAX * HD, *vc = a.vc + (size_t)h * TMAX * HD;
  pdl_launch();
  Attn<NT, KP> at;
  at.preload(kc, vc, t0, min(a.old, t1), tid);
  pdl_wait();
  const bool part = a.splits > 1;
  at.run(a.q + h * HD, kc, vc, t0, t1, min(a.old, t1), sc, sp, part ? a.po + (size_t)blockIdx.x * HD : a.out + h * HD,
         a.pm + blockIdx.x, a.pl + blockIdx.x, part, tid);
}

// ---- the whole token in one cooperative kernel -------------------------------------------------------------------
constexpr int RMAX = 384;
template <class C>
constexpr int persistent_smem() {
  return C::NS * C::TILE + C::NW * RMAX * 4 + TMAX * 4 + 256 + 16 * C::NS;
}
// flags: 1 = no cross-barrier prefetch (the producer waits for the stage's start), 2 = no grid barriers (wrong results,
// for timing), 4 = no consumption arithmetic stage barriers for attention (unused)
template <class C>
__global__ void __launch_bounds__(C::NT + 32, 1) decode_persistent(Model m) {
  float* sp = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  float* sc = sp + C::NW * RMAX;
  float* red = sc + TMAX;
  __shared__ volatile int stage_no;
  const int tid = threadIdx.x, G = gridDim.x, b = blockIdx.x, d = C::D;
  if (tid == 0) {
    stage_no = 0;
  }
  Ring q = ring_init<C>(reinterpret_cast<unsigned char*>(red + 64), tid);
  const bool lazy = m.flags & 1;
  auto blk = [&](int stage) { return (b + stage * 37) % G; };
  int r0, n;
  if (tid >= C::NT) {
    if (tid != C::NT) {
      return;
    }
    const uint64_t pol = policy_evict_first();
    int st = 0;
    auto gate = [&] {
      if (lazy) {
        while (stage_no < st) {
          __nanosleep(20);
        }
      }
      ++st;
    };
    for (int l = 0; l < m.layers; ++l) {
      const __half* w = m.w + layer_w(m, l);
      const size_t dd = (size_t)d * d;
      gate();
      split_rows(blk(0), G, 3 * d, r0, n);
      produce<C>(q, w, r0, n, d, 1, pol);
      gate();
      split_rows(blk(1), G, d, r0, n);
      produce<C>(q, w + 3 * dd, r0, n, d, 1, pol);
      gate();
      split_rows(blk(2), G, 4 * d, r0, n);
      produce<C>(q, w + 4 * dd, r0, n, d, 1, pol);
      gate();
      split_rows(blk(3), G, d, r0, n);
      produce<C>(q, w + 8 * dd, r0, n, 4 * d, 4, pol);
    }
    gate();
    split_rows(b, G, m.vocab, r0, n);
    produce<C>(q, m.head, r0, n, d, 1, pol);
    return;
  }
  float* mine = sp + (tid >> 5) * RMAX;
  unsigned target = 0;
  int st = 0;
  auto sync = [&] {
    target += G;
    if (m.flags & 2) {
      bar_named(1, C::NT);
    } else {
      grid_sync<C::NT>(m.ctr, target, tid);
    }
  };
  auto open = [&] {
    ++st;
    if (lazy && tid == 0) {
      stage_no = st;
    }
  };
  const size_t cl = (size_t)m.heads * TMAX * HD;
  const int S = m.splits, items = m.heads * S, T = m.old + 1;
  // item of this block: items are spread evenly over the blocks
  const int item = (int)(((long long)b * items + G - 1) / G);
  const bool has = item < items && (int)((long long)item * G / items) == b;
  for (int l = 0; l < m.layers; ++l) {
    const float* p = m.p + (size_t)l * 13 * d;
    const float* xin = l ? m.xb : m.x0;
    __half *kc = m.kc + l * cl, *vc = m.vc + l * cl;
    float x[C::V][8];
    {
      Affine<C> af;
      af.early(p + 9 * d, p + 10 * d, tid);
      if (l) {
        sync();
        open();
      }
      load_x<C>(x, xin, tid);
      layer_norm<C>(x, af, red, tid);
    }
    split_rows(blk(0), G, 3 * d, r0, n);
    consume<C, false>(q, x, n, mine, tid);
    Attn<C::NT> at;
    const int h = item / S, s = item % S, t0 = s * T / S, t1 = (s + 1) * T / S;
    const __half *kh = kc + (size_t)h * TMAX * HD, *vh = vc + (size_t)h * TMAX * HD;
    if (has) {
      at.preload(kh, vh, t0, min(m.old, t1), tid);
    }
    epilogue<C, kQkv>(sp, RMAX, n, r0, p, nullptr, m.q, kc, vc, d, m.old, tid);
    sync();
    if (has) {
      at.run(m.q + h * HD, kh, vh, t0, t1, min(m.old, t1), sc, sp, S > 1 ? m.po + (size_t)item * HD : m.att + h * HD,
             m.pm + item, m.pl + item, S > 1, tid);
    }
    sync();
    open();
    if (S > 1) {
      load_x_splits<C>(x, m.po, m.pm, m.pl, S, tid);
    } else {
      load_x<C>(x, m.att, tid);
    }
    split_rows(blk(1), G, d, r0, n);
    consume<C, false>(q, x, n, mine, tid);
    epilogue<C, kRes>(sp, RMAX, n, r0, p + 3 * d, xin, m.xa, nullptr, nullptr, d, 0, tid);
    {
      Affine<C> af;
      af.early(p + 11 * d, p + 12 * d, tid);
      sync();
      open();
      load_x<C>(x, m.xa, tid);
      layer_norm<C>(x, af, red, tid);
    }
    split_rows(blk(2), G, 4 * d, r0, n);
    consume<C, false>(q, x, n, mine, tid);
    epilogue<C, kRelu>(sp, RMAX, n, r0, p + 4 * d, nullptr, m.h, nullptr, nullptr, d, 0, tid);
    sync();
    open();
    split_rows(blk(3), G, d, r0, n);
    load_x<C>(x, m.h, tid);
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      float xn[C::V][8];
      if (c < 3) {
        load_x<C>(xn, m.h + (c + 1) * d, tid);
      }
      if (c == 0) {
        consume<C, false>(q, x, n, mine, tid);
      } else {
        consume<C, true>(q, x, n, mine, tid);
      }
      if (c < 3) {
#pragma unroll
        for (int v = 0; v < C::V; ++v)
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            x[v][i] = xn[v][i];
          }
      }
    }
    epilogue<C, kRes>(sp, RMAX, n, r0, p + 8 * d, m.xa, m.xb, nullptr, nullptr, d, 0, tid);
  }
  const float* p = m.p + (size_t)m.layers * 13 * d;
  float x[C::V][8];
  Affine<C> af;
  af.early(p, p + d, tid);
  sync();
  open();
  load_x<C>(x, m.xb, tid);
  layer_norm<C>(x, af, red, tid);
  split_rows(b, G, m.vocab, r0, n);
  consume<C, false>(q, x, n, mine, tid);
  epilogue<C, kPlain>(sp, RMAX, n, r0, nullptr, nullptr, m.logits, nullptr, nullptr, d, 0, tid);
}
// Barrier alone: `rounds` barriers, to know what one costs.
template <int NT>
__global__ void __launch_bounds__(NT) barrier_bench(unsigned* ctr, int rounds) {
  unsigned target = 0;
  for (int i = 0; i < rounds; ++i) {
    target += gridDim.x;
    grid_sync<NT>(ctr, target, threadIdx.x);
  }
}

// ---- references, double precision, simple -----------------------------------------------------------------------
__global__ void ref_ln(const float* x, const float* g, const float* b, float* y, int K) {
  __shared__ double s[256];
  double a = 0;
  for (int i = threadIdx.x; i < K; i += 256) {
    a += x[i];
  }
  s[threadIdx.x] = a;
  __syncthreads();
  double mean = 0;
  for (int i = 0; i < 256; ++i) {
    mean += s[i];
  }
  mean /= K;
  __syncthreads();
  a = 0;
  for (int i = threadIdx.x; i < K; i += 256) {
    a += (x[i] - mean) * (x[i] - mean);
  }
  s[threadIdx.x] = a;
  __syncthreads();
  double var = 0;
  for (int i = 0; i < 256; ++i) {
    var += s[i];
  }
  var /= K;
  for (int i = threadIdx.x; i < K; i += 256) {
    y[i] = (float)((x[i] - mean) / sqrt(var + 1e-5) * g[i] + b[i]);
  }
}
template <int EPI>
__global__ void ref_gemv(GemvArgs a) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x & 31;
  if (row >= a.n) {
    return;
  }
  double s = 0;
  for (int i = lane; i < a.k; i += 32) {
    s += (double)__half2float(a.w[(size_t)row * a.k + i]) * a.x[i];
  }
  for (int o = 16; o > 0; o >>= 1) {
    s += __shfl_xor_sync(~0u, s, o);
  }
  if (lane == 0) {
    store_row<EPI>((float)s, row, a.bias, a.res, a.y, a.kc, a.vc, a.d, a.old);
  }
}
__global__ void ref_attn(AttnArgs a) {
  __shared__ double sc[TMAX];
  const int h = blockIdx.x, T = a.old + 1, j = threadIdx.x;
  const __half *kc = a.kc + (size_t)h * TMAX * HD, *vc = a.vc + (size_t)h * TMAX * HD;
  for (int t = j; t < T; t += HD) {
    double s = 0;
    for (int i = 0; i < HD; ++i) {
      s += (double)a.q[h * HD + i] * (double)__half2float(kc[(size_t)t * HD + i]);
    }
    sc[t] = s / sqrt(128.0);
  }
  __syncthreads();
  double m = -1e300, z = 0, o = 0;
  for (int t = 0; t < T; ++t) {
    m = fmax(m, sc[t]);
  }
  for (int t = 0; t < T; ++t) {
    const double p = exp(sc[t] - m);
    z += p;
    o += p * (double)__half2float(vc[(size_t)t * HD + j]);
  }
  a.out[h * HD + j] = (float)(o / z);
}
// ---- filling and measuring ----------------------------------------------------------------------------------------
DEV uint32_t hash32(uint64_t i) {
  i *= 0x9E3779B97F4A7C15ull;
  i ^= i >> 29;
  i *= 0xBF58476D1CE4E5B9ull;
  i ^= i >> 32;
  return (uint32_t)i;
}
__global__ void fill_half(__half* p, size_t n, float scale, uint64_t seed) {
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n / 8; i += (size_t)gridDim.x * blockDim.x) {
    __half v[8];
    for (int j = 0; j < 8; ++j) {
      v[j] = __float2half_rn(scale * ((hash32(seed + i * 8 + j) >> 8) * (2.0f / 16777216.0f) - 1.0f));
    }
    reinterpret_cast<uint4*>(p)[i] = *reinterpret_cast<uint4*>(v);
  }
}
__global__ void fill_float(float* p, size_t n, float scale, float shift, uint64_t seed) {
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
    p[i] = shift + scale * ((hash32(seed + i) >> 8) * (2.0f / 16777216.0f) - 1.0f);
  }
}
__global__ void poison_cache(__half* kc, size_t heads, int pos) {
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < heads * HD; i += (size_t)gridDim.x * blockDim.x) {
    reinterpret_cast<unsigned short*>(kc)[(i / HD * TMAX + pos) * HD + i % HD] = 0x7e00;
  }
}
__global__ void __launch_bounds__(512) read_kernel(const uint4* p, size_t n, unsigned* out) {
  unsigned s = 0;
  const size_t step = (size_t)gridDim.x * 512;
  size_t i = (size_t)blockIdx.x * 512 + threadIdx.x;
  for (; i + 7 * step < n; i += 8 * step) {
    uint4 v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      v[j] = ldg_stream(p + i + j * step);
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      s ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
    }
  }
  if (s == 0x12345678u) {
    *out = s;
  }
}
// The same stream through the ring, no arithmetic: the ceiling of the bulk copy engine.
template <class C>
__global__ void __launch_bounds__(C::NT + 32, 1) read_ring(const __half* w, int rows, float* out) {
  const int tid = threadIdx.x;
  Ring q = ring_init<C>(smem + C::NS * C::TILE, tid);
  int r0, n;
  split_rows(blockIdx.x, gridDim.x, rows, r0, n);
  if (tid >= C::NT) {
    if (tid == C::NT) {
      produce<C>(q, w, r0, n, C::D, 1, policy_evict_first());
    }
    return;
  }
  for (int t = 0; t < n; t += C::R) {
    mbar_wait(q.full + 8 * q.slot, q.phase);
    __syncwarp();
    if ((tid & 31) == 0) {
      mbar_arrive(q.empty + 8 * q.slot);
    }
    q.next<C::NS>();
  }
  if (rows < 0) {
    *out = 1;
  }
}
