// The sparse decode chain: five launches a layer (four with the MLP fused), one ring, exact row sets given through
// thresholds.
#pragma once
#include <climits>

#include "kern.cuh"

constexpr int PR = 1000, PS = 1008;  // predictor rank, and the stride of its second stage's rows
enum { kF32, kFix, kPart };          // how a layer's input x arrives: floats, 32.32 fixed point, partial sums of floats
enum { kRed, kLast, kPartials };     // how fc2's row groups are summed

struct SArgs {
  const __half *wq, *wo, *w1, *w2;  // [3d][d], [head][d][128], [4d][d], neuron-major [4d][d]
  const int8_t *p1, *p2, *h2;       // [2000][d] (neurons, heads), [4d][1008], [heads][1008]
  const float *bq, *bo, *b1, *b2, *g1, *e1, *g2, *e2;
  const float *s1, *s2, *nb, *hs,
      *hb;        // scales of p1, p2; thresholds of the neurons; scales and thresholds of the next layer's heads
  const void* x;  // the layer's input, see kF32..kPart
  __half *kc, *vc;
  const int* list;  // this layer's heads (chosen one layer earlier)
  int* list_out;
  float *sc_out, *hid, *q, *po, *pm, *pl, *att, *xa, *h, *part, *xb, *dbg;
  unsigned* mask;
  long long *acc, *zero;  // where fc2 adds; the other buffer, to be cleared
  unsigned* ctr;
  int d, heads, nh, old, rmax, rg, chosen;
};

// ---- input x ------------------------------------------------------------------------------------------------------
DEV float unfix(long long v) { return (float)v * 2.3283064365386963e-10f; }
DEV longlong2 ldcg_ll2(const long long* p) {
  longlong2 v;
  asm volatile("ld.global.cg.v2.s64 {%0,%1}, [%2];" : "=l"(v.x), "=l"(v.y) : "l"(p) : "memory");
  return v;
}
DEV void red_fix(long long* p, float v) {
  asm volatile("red.relaxed.gpu.global.add.u64 [%0], %1;" ::"l"(p),
               "l"((unsigned long long)__float2ll_rn(v * 4294967296.0f))
               : "memory");
}
template <class C, int XM>
DEV void load_xm(float (&x)[C::V][8], const void* src, int rg, int tid) {
  if (XM == kF32) {
    load_x<C>(x, static_cast<const float*>(src), tid);
  }
  if (XM == kFix) {
#pragma unroll
    for (int v = 0; v < C::V; ++v)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const longlong2 a = ldcg_ll2(static_cast<const long long*>(src) + 8 * (tid + v * C::NT) + 2 * i);
        x[v][2 * i] = unfix(a.x);
        x[v][2 * i + 1] = unfix(a.y);
      }
  }
  if (XM == kPart) {
#pragma unroll
    for (int v = 0; v < C::V; ++v)
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        x[v][i] = 0;
      }
#pragma unroll 4
    for (int g = 0; g < rg; ++g) {
      float y[C::V][8];
      load_x<C>(y, static_cast<const float*>(src) + (size_t)g * C::D, tid);
#pragma unroll
      for (int v = 0; v < C::V; ++v)
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          x[v][i] += y[v][i];
        }
    }
  }
}
template <int XM>
DEV float load_one(const void* src, int rg, int d, int i) {
  if (XM == kFix) {
    return unfix(__ldcg(static_cast<const long long*>(src) + i));
  }
  float s = ldcg1(static_cast<const float*>(src) + i);
  if (XM == kPart)
#pragma unroll 8
    for (int g = 1; g < rg; ++g) {
      s += ldcg1(static_cast<const float*>(src) + (size_t)g * d + i);
    }
  return s;
}
// ---- choosing -----------------------------------------------------------------------------------------------------
// One warp: the nh best of up to 96 heads, in ascending order.
DEV void choose_heads(const float* scores, int heads, int nh, int* list, int lane) {
  float s[3];
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    s[i] = lane + 32 * i < heads ? ldcg1(scores + lane + 32 * i) : -INFINITY;
  }
  int rank[3] = {};
#pragma unroll
  for (int j = 0; j < 3; ++j) {
    for (int l = 0; l < 32; ++l) {
      const float o = __shfl_sync(~0u, s[j], l);
#pragma unroll
      for (int i = 0; i < 3; ++i) {
        rank[i] += o > s[i] || (o == s[i] && 32 * j + l < 32 * i + lane);
      }
    }
  }
  int base = 0;
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const bool in = lane + 32 * i < heads && rank[i] < nh;
    const unsigned m = __ballot_sync(~0u, in);
    if (in) {
      list[base + __popc(m & ((1u << lane) - 1))] = lane + 32 * i;
    }
    base += __popc(m);
  }
}
// All NT = d/16 consumer threads: the neurons of part `part` of `parts` equal parts of the mask's 4d bits, in order.
// Returns their number; the caller's barrier publishes ids. `first` is the position of the first.
template <class C>
DEV int own_neurons(const unsigned* mask, int part, int parts, int cap, int* ids, int* wsum, int& first, int tid) {
  static_assert(C::D == 16 * C::NT, "two words of mask per thread");
  const int lane = tid & 31, warp = tid >> 5;
  unsigned w[2];
  asm volatile("ld.global.cg.v2.u32 {%0,%1}, [%2];" : "=r"(w[0]), "=r"(w[1]) : "l"(mask + 2 * tid) : "memory");
  const int c = __popc(w[0]) + __popc(w[1]);
  int inc = c;
#pragma unroll
  for (int o = 1; o < 32; o <<= 1) {
    const int t = __shfl_up_sync(~0u, inc, o);
    if (lane >= o) {
      inc += t;
    }
  }
  if (lane == 31) {
    wsum[warp] = inc;
  }
  bar_named(1, C::NT);
  int before = 0, total = 0;
#pragma unroll
  for (int i = 0; i < C::NW; ++i) {
    const int t = wsum[i];
    before += i < warp ? t : 0;
    total += t;
  }
  int pos = before + inc - c;
  first = (int)((long long)part * total / parts);
  const int n = min((int)((long long)(part + 1) * total / parts) - first, cap);
  if (pos + c > first && pos < first + n) {
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      for (unsigned m = w[k]; m; m &= m - 1, ++pos) {
        if (pos >= first && pos < first + n) {
          ids[pos - first] = 64 * tid + 32 * k + __ffs(m) - 1;
        }
      }
    }
  }
  return n;
}
// ---- ring, gathered -------------------------------------------------------------------------------------------------
// Whole warp: n copies of `bytes` bytes each, PER to a tile at `step` bytes, source address by index.
template <class C, int PER, class F>
DEV void produce_by(Ring& q, int n, uint32_t bytes, uint32_t step, uint64_t pol, int lane, F src) {
  for (int t = 0; t < n; t += PER) {
    const int m = min(PER, n - t);
    const uint32_t bar = q.full + 8 * q.slot, dst = q.base + q.slot * C::TILE;
    mbar_wait(q.empty + 8 * q.slot, q.phase ^ 1);
    if (lane == 0) {
      mbar_expect(bar, m * bytes);
    }
    __syncwarp();
    for (int i = lane; i < m; i += 32) {
      bulk_load(dst + i * step, src(t + i), bytes, bar, pol);
    }
    __syncwarp();
    q.next<C::NS>();
  }
}
// The same for consecutive memory: one copy a tile.
template <class C>
DEV void produce_flat(Ring& q, const void* p, int units, uint64_t pol, int lane) {
  for (int t = 0; t < units; t += C::R) {
    const int m = min(C::R, units - t);
    mbar_wait(q.empty + 8 * q.slot, q.phase ^ 1);
    if (lane == 0) {
      const uint32_t bar = q.full + 8 * q.slot;
      mbar_expect(bar, m * C::UNIT);
      bulk_load(q.base + q.slot * C::TILE, static_cast<const char*>(p) + (size_t)t * C::UNIT, m * C::UNIT, bar, pol);
    }
    __syncwarp();
    q.next<C::NS>();
  }
}
DEV int dot16(uint4 w, uint4 x) {
  return __dp4a((int)w.x, (int)x.x,
                __dp4a((int)w.y, (int)x.y, __dp4a((int)w.z, (int)x.z, __dp4a((int)w.w, (int)x.w, 0))));
}
// Units of two int8 rows each (V = 2: a thread's vector v belongs to row v).
template <class C>
DEV void consume_i8(Ring& q, uint4 xi, int units, float* sp, int tid) {
  static_assert(C::V == 2, "");
  constexpr int N = 2 * C::R;
  const int lane = tid & 31, row = row_of_lane<N>(lane);
  for (int t = 0; t < units; t += C::R) {
    mbar_wait(q.full + 8 * q.slot, q.phase);
    const uint32_t src = q.base + q.slot * C::TILE + tid * 16;
    float acc[N];
#pragma unroll
    for (int r = 0; r < C::R; ++r)
#pragma unroll
      for (int v = 0; v < 2; ++v) {
        acc[2 * r + v] = (float)dot16(lds128(src + r * C::UNIT + v * C::NT * 16), xi);
      }
    __syncwarp();
    if (lane == 0) {
      mbar_arrive(q.empty + 8 * q.slot);
    }
    const float s = warp_multi_sum<N>(acc, lane);
    if ((lane & (32 / N - 1)) == 0 && 2 * t + row < 2 * units) {
      sp[2 * t + row] = s;
    }
    q.next<C::NS>();
  }
}
// x to int8 with one scale; the thread gets the 16 values [16 tid, 16 tid + 16). buf: D bytes of shared memory.
template <class C>
DEV float quantise(const float (&x)[C::V][8], uint4& xi, unsigned char* buf, float* red, int tid) {
  float m = 0;
#pragma unroll
  for (int v = 0; v < C::V; ++v)
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      m = fmaxf(m, fabsf(x[v][i]));
    }
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) {
    m = fmaxf(m, __shfl_xor_sync(~0u, m, o));
  }
  if ((tid & 31) == 0) {
    red[tid >> 5] = m;
  }
  bar_named(1, C::NT);
  m = 0;
#pragma unroll
  for (int i = 0; i < C::NW; ++i) {
    m = fmaxf(m, red[i]);
  }
  const float f = m > 0 ? 127.0f / m : 0.f;
#pragma unroll
  for (int v = 0; v < C::V; ++v) {
    uint32_t u[2] = {};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      u[i >> 2] |= (uint32_t)(__float2int_rn(x[v][i] * f) & 255) << (8 * (i & 3));
    }
    *reinterpret_cast<uint2*>(buf + 8 * (tid + v * C::NT)) = make_uint2(u[0], u[1]);
  }
  bar_named(1, C::NT);
  xi = *reinterpret_cast<uint4*>(buf + 16 * tid);
  return m / 127.0f;
}
__host__ __device__ constexpr int s_max(int a, int b) { return a > b ? a : b; }
// ---- 1: K and V, the chosen heads' Q, the first stages of both predictors -------------------------------------------
template <class C>
constexpr int s1_smem(int rmax) {
  return C::NS * C::TILE + s_max(C::NW * rmax * 4, C::D) + 512 + 16 * C::NS;
}
struct Split1 {
  int a0, na, b0, nb;
};
__host__ __device__ inline Split1 split1(int b, int G, int d, int nh) {
  const int N = 2 * d + PR + HD * nh;
  const int u0 = (int)((long long)b * N / G), u1 = (int)((long long)(b + 1) * N / G), p0 = b * PR / G,
            p1 = (b + 1) * PR / G;
  return {u0 - p0, u1 - p1 - (u0 - p0), p0, p1 - p0};
}
template <class C, int XM, int OCC>
__global__ void __launch_bounds__(C::NT + 32, OCC) s1_qkv(const __grid_constant__ SArgs a) {
  float* sp = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  float* red = reinterpret_cast<float*>(smem + C::NS * C::TILE + s_max(C::NW * a.rmax * 4, C::D));
  const int tid = threadIdx.x, d = C::D;
  Ring q = ring_init<C>(reinterpret_cast<unsigned char*>(red + 128), tid);
  const Split1 s = split1(blockIdx.x, gridDim.x, d, a.nh);
  const int nf = max(0, min(s.a0 + s.na, 2 * d) - s.a0), j0 = max(s.a0 - 2 * d, 0), nq = s.na - nf;
  if (tid >= C::NT) {
    const int lane = tid & 31;
    const uint64_t pol = policy_evict_first();
    if (nf) {
      produce_flat<C>(q, a.wq + (size_t)(d + s.a0) * d, nf, pol, lane);
    }
    if (nq) {
      produce_by<C, C::R>(q, nq, C::UNIT, C::UNIT, pol, lane, [&](int i) {
        return a.wq + (size_t)(__ldcg(a.list + (j0 + i) / HD) * HD + (j0 + i) % HD) * d;
      });
    }
    produce_flat<C>(q, a.p1 + (size_t)s.b0 * C::UNIT, s.nb, pol, lane);
    return;
  }
  Affine<C> af;
  af.early(a.g1, a.e1, tid);
  pdl_wait();
  pdl_launch();
  float x[C::V][8];
  load_xm<C, XM>(x, a.x, a.rg, tid);
  layer_norm<C>(x, af, red, tid);
  uint4 xi;
  const float sx = quantise<C>(x, xi, reinterpret_cast<unsigned char*>(sp), red + 64, tid);
  bar_named(1, C::NT);
  float* mine = sp + (tid >> 5) * a.rmax;
  if (nf) {
    consume<C, false>(q, x, nf, mine, tid);
  }
  if (nq) {
    consume<C, false>(q, x, nq, mine + nf, tid);
  }
  consume_i8<C>(q, xi, s.nb, mine + s.na, tid);
  bar_named(1, C::NT);
  for (int r = tid; r < s.na + 2 * s.nb; r += C::NT) {
    float v = 0;
#pragma unroll
    for (int w = 0; w < C::NW; ++w) {
      v += sp[w * a.rmax + r];
    }
    if (r < s.na) {
      const int j = j0 + r - nf, row = r < nf ? d + s.a0 + r : __ldcg(a.list + j / HD) * HD + j % HD;
      store_row<kQkv>(v, row, a.bq, nullptr, a.q, a.kc, a.vc, d, a.old);
    } else {
      const int row = 2 * s.b0 + r - s.na;
      a.hid[row] = v * a.s1[row] * sx;
    }
  }
}
// ---- 2: attention on the chosen heads beside the predictors' second stages ------------------------------------------
constexpr int NT2 = 256, NA2 = 128, T2B = 32 * PS;  // a tile is one word of the mask: 32 neurons
constexpr int s2_smem(int ns, int sc) { return ns * T2B + NA2 / 32 * (HD + 1) * 4 + 1024 + 16 * ns + sc * 4; }
template <int NS, int OCC>
__global__ void __launch_bounds__(NT2 + NA2 + 32, OCC) s2_attn(const __grid_constant__ SArgs a, int S) {
  float* asp = reinterpret_cast<float*>(smem + NS * T2B);
  unsigned char* hq =
      reinterpret_cast<unsigned char*>(asp + NA2 / 32 * (HD + 1));  // 1024 bytes: the quantised hidden vector
  unsigned char* mb = hq + 1024;
  float* sc = reinterpret_cast<float*>(mb + 16 * NS);
  __shared__ float red[NT2 / 32];
  __shared__ unsigned char nib[16][NT2 / 32];
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, G = gridDim.x, b = blockIdx.x, W = a.d / 8;
  Ring q;
  q.base = smem_u32(smem);
  q.full = smem_u32(mb);
  q.empty = q.full + 8 * NS;
  q.slot = 0;
  q.phase = 0;
  if (tid == 0) {
    for (int i = 0; i < NS; ++i) {
      mbar_init(q.full + 8 * i, 1);
      mbar_init(q.empty + 8 * i, NT2 / 32);
    }
    mbar_fence_init();
  }
  __syncthreads();
  const int w0 = (int)((long long)b * W / G), nw = (int)((long long)(b + 1) * W / G) - w0;
  if (tid >= NT2 + NA2) {  // the producer, then one head's score for the next layer
    const int hr = G - 1 - b;
    const bool has = hr < a.heads;
    uint4 w[2] = {};
    if (has) {
      w[0] = ldg_stream(a.h2 + (size_t)hr * PS + lane * 16);
      if (lane < 31) {
        w[1] = ldg_stream(a.h2 + (size_t)hr * PS + 512 + lane * 16);
      }
    }
    if (lane == 0) {
      const uint64_t pol = policy_evict_first();
      for (int t = 0; t < nw; ++t) {
        mbar_wait(q.empty + 8 * q.slot, q.phase ^ 1);
        const uint32_t bar = q.full + 8 * q.slot;
        mbar_expect(bar, T2B);
        bulk_load(q.base + q.slot * T2B, a.p2 + (size_t)(w0 + t) * T2B, T2B, bar, pol);
        q.next<NS>();
      }
    }
    __syncwarp();
    pdl_wait();
    if (has) {
      float s = 0;
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const uint32_t u[4] = {w[k].x, w[k].y, w[k].z, w[k].w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int e = k * 512 + lane * 16 + i * 4;
          if (e < PR) {
            const float4 v = ldcg4(a.hid + PR + e);
            s += v.x * (float)(signed char)(u[i]) + v.y * (float)(signed char)(u[i] >> 8) +
                 v.z * (float)(signed char)(u[i] >> 16) + v.w * (float)(signed char)(u[i] >> 24);
          }
        }
      }
      s = warp_sum(s);
      if (lane == 0) {
        a.sc_out[hr] = s * a.hs[hr] + a.hb[hr];
      }
    }
    return;
  }
  if (tid >= NT2) {  // attention
    const int t = tid - NT2, j = b / S, s = b % S, T = a.old + 1, t0 = s * T / S, t1 = (s + 1) * T / S;
    if (j >= a.nh) {
      return;
    }
    const int h = __ldcg(a.list + j);
    const __half *kc = a.kc + (size_t)h * TMAX * HD, *vc = a.vc + (size_t)h * TMAX * HD;
    Attn<NA2, 4, 2> at;
    at.preload(kc, vc, t0, min(a.old, t1), t);
    pdl_wait();
    at.run(a.q + h * HD, kc, vc, t0, t1, min(a.old, t1), sc, asp, a.po + (size_t)b * HD, a.pm + b, a.pl + b, true, t);
    return;
  }
  float sb[2] = {};  // scale and threshold of row 4 warp + lane of the first tile
  if (lane < 4 && nw > 0) {
    sb[0] = __ldg(a.s2 + w0 * 32 + warp * 4 + lane);
    sb[1] = __ldg(a.nb + w0 * 32 + warp * 4 + lane);
  }
  pdl_wait();
  pdl_launch();
  const float4 hv = tid < PR / 4 ? ldcg4(a.hid + 4 * tid) : make_float4(0, 0, 0, 0);
  float m = fmaxf(fmaxf(fabsf(hv.x), fabsf(hv.y)), fmaxf(fabsf(hv.z), fabsf(hv.w)));
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) {
    m = fmaxf(m, __shfl_xor_sync(~0u, m, o));
  }
  if (lane == 0) {
    red[warp] = m;
  }
  bar_named(1, NT2);
  m = 0;
#pragma unroll
  for (int i = 0; i < NT2 / 32; ++i) {
    m = fmaxf(m, red[i]);
  }
  const float f = m > 0 ? 127.0f / m : 0.f, sx = m / 127.0f;
  reinterpret_cast<uint32_t*>(hq)[tid] = (__float2int_rn(hv.x * f) & 255) | (__float2int_rn(hv.y * f) & 255) << 8 |
                                         (__float2int_rn(hv.z * f) & 255) << 16 |
                                         (uint32_t)(__float2int_rn(hv.w * f) & 255) << 24;
  bar_named(1, NT2);
  const uint4 x0 = reinterpret_cast<uint4*>(hq)[lane], x1 = reinterpret_cast<uint4*>(hq)[min(lane + 32, 62)];
  for (int t = 0; t < nw; ++t) {
    const int row = (w0 + t) * 32 + warp * 4 + lane;
    float nx[2] = {};
    if (lane < 4 && t + 1 < nw) {
      nx[0] = __ldg(a.s2 + row + 32);
      nx[1] = __ldg(a.nb + row + 32);
    }
    mbar_wait(q.full + 8 * q.slot, q.phase);
    const uint32_t src = q.base + q.slot * T2B + warp * 4 * PS + lane * 16;
    int acc[4];
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      acc[r] = dot16(lds128(src + r * PS), x0);
      if (lane < 31) {
        acc[r] += dot16(lds128(src + r * PS + 512), x1);
      }
    }
    __syncwarp();
    if (lane == 0) {
      mbar_arrive(q.empty + 8 * q.slot);
    }
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      acc[r] = __reduce_add_sync(~0u, acc[r]);
    }
    const float v = (float)(lane == 0 ? acc[0] : lane == 1 ? acc[1] : lane == 2 ? acc[2] : acc[3]) * sx * sb[0] + sb[1];
    const unsigned bits = __ballot_sync(~0u, lane < 4 && v > 0);
    if (lane == 0) {
      nib[t][warp] = (unsigned char)bits;
    }
    if (a.dbg && lane < 4) {
      a.dbg[row] = v;
    }
    sb[0] = nx[0];
    sb[1] = nx[1];
    q.next<NS>();
  }
  bar_named(1, NT2);
  if (tid < nw) {
    unsigned u = 0;
#pragma unroll
    for (int i = 0; i < NT2 / 32; ++i) {
      u |= (unsigned)nib[tid][i] << (4 * i);
    }
    a.mask[w0 + tid] = u;
  }
}
// ---- 3: out-projection over the chosen heads
// -------------------------------------------------------------------------
template <class C>
constexpr int s3_smem(int nh) {
  return C::NS * C::TILE + nh * HD * 4 + 16 * C::NS;
}
template <class C, int XM, int S, int OCC>
__global__ void __launch_bounds__(C::NT + 32, OCC) s3_out(const __grid_constant__ SArgs a) {
  float* xs = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  const int tid = threadIdx.x, d = C::D;
  Ring q = ring_init<C>(reinterpret_cast<unsigned char*>(xs + a.nh * HD), tid);
  int r0, n;
  split_rows(blockIdx.x, gridDim.x, d, r0, n);
  if (tid >= C::NT) {
    const int lane = tid & 31;
    produce_by<C, C::R>(q, a.nh, n * 2 * HD, C::UNIT, policy_evict_first(), lane,
                        [&](int i) { return a.wo + ((size_t)__ldcg(a.list + i) * d + r0) * HD; });
    if (blockIdx.x == gridDim.x - 1) {  // the next layer's heads, from the scores of the launch before
      pdl_wait();
      choose_heads(a.sc_out, a.heads, a.nh, a.list_out, lane);
    }
    return;
  }
  pdl_wait();
  pdl_launch();
  for (int e = tid; e < a.nh * HD; e += C::NT) {
    const int j = e / HD;
    float pm[S], pl[S], po[S], m = -INFINITY, z = 0, o = 0;
#pragma unroll
    for (int s = 0; s < S; ++s) {
      pm[s] = ldcg1(a.pm + j * S + s);
      pl[s] = ldcg1(a.pl + j * S + s);
      po[s] = ldcg1(a.po + (size_t)(j * S + s) * HD + e % HD);
    }
#pragma unroll
    for (int s = 0; s < S; ++s) {
      m = fmaxf(m, pm[s]);
    }
#pragma unroll
    for (int s = 0; s < S; ++s) {
      const float f = __expf(pm[s] - m);
      z += f * pl[s];
      o += f * po[s];
    }
    xs[e] = o / z;
  }
  const int c8 = tid & 15;
  float res[C::V] = {};  // residual and bias of this thread's rows, early
#pragma unroll
  for (int v = 0; v < C::V; ++v) {
    const int row = (tid + v * C::NT) >> 4;
    if (c8 == 0 && row < n) {
      res[v] = load_one<XM>(a.x, a.rg, d, r0 + row) + a.bo[r0 + row];
    }
  }
  bar_named(1, C::NT);
  float acc[C::V] = {};
  for (int t = 0; t < a.nh; t += C::R) {
    mbar_wait(q.full + 8 * q.slot, q.phase);
    const uint32_t src = q.base + q.slot * C::TILE + tid * 16;
#pragma unroll
    for (int i = 0; i < C::R; ++i) {
      if (t + i >= a.nh) {
        break;
      }
      const float4 f0 = *reinterpret_cast<const float4*>(xs + (t + i) * HD + c8 * 8),
                   f1 = *reinterpret_cast<const float4*>(xs + (t + i) * HD + c8 * 8 + 4);
      const float x8[8] = {f0.x, f0.y, f0.z, f0.w, f1.x, f1.y, f1.z, f1.w};
#pragma unroll
      for (int v = 0; v < C::V; ++v) {
        if ((tid + v * C::NT) >> 4 < n) {
          acc[v] = dot8(lds128(src + i * C::UNIT + v * C::NT * 16), x8, acc[v]);
        }
      }
    }
    __syncwarp();
    if ((tid & 31) == 0) {
      mbar_arrive(q.empty + 8 * q.slot);
    }
    q.next<C::NS>();
  }
#pragma unroll
  for (int v = 0; v < C::V; ++v) {
#pragma unroll
    for (int o = 8; o > 0; o >>= 1) {
      acc[v] += __shfl_xor_sync(~0u, acc[v], o);
    }
    const int row = (tid + v * C::NT) >> 4;
    if (c8 == 0 && row < n) {
      a.xa[r0 + row] = acc[v] + res[v];
    }
  }
}
// ---- 4: gathered fc1 (and, fused, the same neurons' fc2 rows)
// -----------------------------------------------------------
template <class C>
constexpr int s4_smem(int rmax) {
  return C::NS * C::TILE + C::NW * rmax * 4 + 512 + rmax * 8 + 16 * C::NS + 16;
}
// LATEMASK: the mask comes from the launch before this one (exact mode), so nothing is gathered before the wait.
template <class C, bool FUSED, bool LATEMASK, int OCC>
__global__ void __launch_bounds__(C::NT + 32, OCC) s4_fc1(const __grid_constant__ SArgs a) {
  float* sp = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  float* red = sp + C::NW * a.rmax;
  int* ids = reinterpret_cast<int*>(red + 128);
  float* hs = reinterpret_cast<float*>(ids + a.rmax);
  unsigned char* mb = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(hs + a.rmax) + 7) & ~uintptr_t(7));
  __shared__ int count;
  const int tid = threadIdx.x, d = C::D;
  Ring q = ring_init<C>(mb, tid);
  if (tid >= C::NT) {
    const int lane = tid & 31;
    const uint64_t pol = policy_evict_first();
    bar_named(2, C::NT + 32);
    const int n = count;
    produce_by<C, C::R>(q, n, C::UNIT, C::UNIT, pol, lane, [&](int i) { return a.w1 + (size_t)ids[i] * d; });
    if (FUSED) {
      produce_by<C, C::R>(q, n, C::UNIT, C::UNIT, pol, lane, [&](int i) { return a.w2 + (size_t)ids[i] * d; });
    }
    return;
  }
  int first;
  Affine<C> af;
  if (LATEMASK) {
    af.early(a.g2, a.e2, tid);
    pdl_wait();
    pdl_launch();
  }
  const int n =
      own_neurons<C>(a.mask, blockIdx.x, gridDim.x, a.rmax, ids, reinterpret_cast<int*>(red + 64), first, tid);
  if (tid == 0) {
    count = n;
  }
  bar_named(2, C::NT + 32);
  if (!LATEMASK) {
    af.early(a.g2, a.e2, tid);
  }
  const float bias = tid < n ? __ldg(a.b1 + ids[tid]) : 0.f;
  if (!LATEMASK) {
    pdl_wait();
    pdl_launch();
  }
  float x[C::V][8];
  load_x<C>(x, a.xa, tid);
  if (a.zero) {
    for (int i = blockIdx.x * C::NT + tid; i < d; i += gridDim.x * C::NT) {
      a.zero[i] = 0;
    }
  }
  layer_norm<C>(x, af, red, tid);
  consume<C, false>(q, x, n, sp + (tid >> 5) * a.rmax, tid);
  bar_named(1, C::NT);
  if (tid < n) {  // rmax <= NT
    float s = 0;
#pragma unroll
    for (int w = 0; w < C::NW; ++w) {
      s += sp[w * a.rmax + tid];
    }
    s = fmaxf(s + bias, 0.f);
    if (FUSED) {
      hs[tid] = s;
    } else {
      a.h[first + tid] = s;
    }
  }
  if (!FUSED) {
    return;
  }
  bar_named(1, C::NT);
  float y[C::V][8] = {};
  for (int t = 0; t < n; t += C::R) {
    mbar_wait(q.full + 8 * q.slot, q.phase);
    const uint32_t src = q.base + q.slot * C::TILE + tid * 16;
#pragma unroll
    for (int i = 0; i < C::R; ++i) {
      if (t + i >= n) {
        break;
      }
      const float h = hs[t + i];
#pragma unroll
      for (int v = 0; v < C::V; ++v) {
        const uint4 w = lds128(src + i * C::UNIT + v * C::NT * 16);
        const float2 p0 = h2f(w.x), p1 = h2f(w.y), p2 = h2f(w.z), p3 = h2f(w.w);
        y[v][0] = fmaf(h, p0.x, y[v][0]);
        y[v][1] = fmaf(h, p0.y, y[v][1]);
        y[v][2] = fmaf(h, p1.x, y[v][2]);
        y[v][3] = fmaf(h, p1.y, y[v][3]);
        y[v][4] = fmaf(h, p2.x, y[v][4]);
        y[v][5] = fmaf(h, p2.y, y[v][5]);
        y[v][6] = fmaf(h, p3.x, y[v][6]);
        y[v][7] = fmaf(h, p3.y, y[v][7]);
      }
    }
    __syncwarp();
    if ((tid & 31) == 0) {
      mbar_arrive(q.empty + 8 * q.slot);
    }
    q.next<C::NS>();
  }
  // Through shared memory, so that the additions of a warp are to consecutive words. Block 0 adds residual and bias.
  float* ys = reinterpret_cast<float*>(smem);  // the ring is empty by now
  bar_named(1, C::NT);
#pragma unroll
  for (int v = 0; v < C::V; ++v) {
    float4* o = reinterpret_cast<float4*>(ys + 8 * (tid + v * C::NT));
    o[0] = make_float4(y[v][0], y[v][1], y[v][2], y[v][3]);
    o[1] = make_float4(y[v][4], y[v][5], y[v][6], y[v][7]);
  }
  bar_named(1, C::NT);
#pragma unroll 4
  for (int i = tid; i < d; i += C::NT) {
    float s = ys[i];
    if (blockIdx.x == 0) {
      s += ldcg1(a.xa + i) + a.b2[i];
    }
    red_fix(a.acc + i, s);
  }
}
// ---- 5: neuron-major fc2: RG row groups x 4 column groups
// --------------------------------------------------------------
constexpr int CG = 4;
template <class C>
constexpr int s5_smem(int rmax) {
  return C::NS * C::TILE + C::D / 2 * 4 + 256 + rmax * 8 + 16 * C::NS + 16;
}
template <class C, int MODE, int OCC>
__global__ void __launch_bounds__(C::NT + 32, OCC) s5_fc2(const __grid_constant__ SArgs a) {
  constexpr int SEG = C::UNIT / CG, VEC = C::NT / 2,
                COLS = C::D / CG;  // VEC vectors of 8 columns: two threads a vector
  static_assert(VEC * 8 == COLS, "");
  float* buf = reinterpret_cast<float*>(smem + C::NS * C::TILE);  // [2][COLS]
  int* wsum = reinterpret_cast<int*>(buf + 2 * COLS);
  int* ids = wsum + 64;
  float* hs = reinterpret_cast<float*>(ids + a.rmax);
  unsigned char* mb = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(hs + a.rmax) + 7) & ~uintptr_t(7));
  __shared__ int count, last;
  const int tid = threadIdx.x, d = C::D, rg = blockIdx.x / CG, cg = blockIdx.x % CG;
  Ring q = ring_init<C>(mb, tid);
  if (tid >= C::NT) {
    bar_named(2, C::NT + 32);
    produce_by<C, C::R * CG>(q, count, SEG, SEG, policy_evict_first(), tid & 31,
                             [&](int i) { return a.w2 + (size_t)ids[i] * d + cg * COLS; });
    return;
  }
  int first;
  const int n = own_neurons<C>(a.mask, rg, a.rg, a.rmax, ids, wsum, first, tid);
  if (tid == 0) {
    count = n;
  }
  bar_named(2, C::NT + 32);
  float base[4] = {};  // residual and bias of the columns this thread will write
  if (rg == 0)
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      base[k] = __ldg(a.b2 + cg * COLS + tid + k * C::NT);
    }
  pdl_wait();
  pdl_launch();
  for (int i = tid; i < n; i += C::NT) {
    hs[i] = ldcg1(a.h + first + i);
  }
  if (rg == 0)
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      base[k] += ldcg1(a.xa + cg * COLS + tid + k * C::NT);
    }
  bar_named(1, C::NT);
  const int vec = tid % VEC, sub = tid / VEC;
  float y[8] = {};
  for (int t = 0; t < n; t += C::R * CG) {
    mbar_wait(q.full + 8 * q.slot, q.phase);
    const uint32_t src = q.base + q.slot * C::TILE + vec * 16 + sub * SEG;
#pragma unroll
    for (int i = 0; i < C::R * CG; i += 2) {
      if (t + i + sub < n) {
        const float h = hs[t + i + sub];
        const uint4 w = lds128(src + i * SEG);
        const float2 p0 = h2f(w.x), p1 = h2f(w.y), p2 = h2f(w.z), p3 = h2f(w.w);
        y[0] = fmaf(h, p0.x, y[0]);
        y[1] = fmaf(h, p0.y, y[1]);
        y[2] = fmaf(h, p1.x, y[2]);
        y[3] = fmaf(h, p1.y, y[3]);
        y[4] = fmaf(h, p2.x, y[4]);
        y[5] = fmaf(h, p2.y, y[5]);
        y[6] = fmaf(h, p3.x, y[6]);
        y[7] = fmaf(h, p3.y, y[7]);
      }
    }
    __syncwarp();
    if ((tid & 31) == 0) {
      mbar_arrive(q.empty + 8 * q.slot);
    }
    q.next<C::NS>();
  }
  float4* o = reinterpret_cast<float4*>(buf + sub * COLS + vec * 8);
  o[0] = make_float4(y[0], y[1], y[2], y[3]);
  o[1] = make_float4(y[4], y[5], y[6], y[7]);
  bar_named(1, C::NT);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    const int c = tid + k * C::NT;
    const float s = buf[c] + buf[COLS + c] + base[k];
    if (MODE == kRed) {
      red_fix(a.acc + cg * COLS + c, s);
    } else {
      a.part[(size_t)rg * d + cg * COLS + c] = s;
    }
  }
  if (MODE != kLast) {
    return;
  }
  __threadfence();
  bar_named(1, C::NT);
  if (tid == 0) {
    unsigned old;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(old) : "l"(a.ctr + cg * 32) : "memory");
    last = old == (unsigned)a.rg - 1;
    if (last) {
      a.ctr[cg * 32] = 0;
    }
  }
  bar_named(1, C::NT);
  if (!last) {
    return;
  }
  for (int c = tid; c < COLS; c += C::NT) {
    float s = 0;
#pragma unroll 11
    for (int g = 0; g < a.rg; ++g) {
      s += ldcg1(a.part + (size_t)g * d + cg * COLS + c);
    }
    a.xb[cg * COLS + c] = s;
  }
}
// ---- exact mode: the int8 copy of fc1 tests every neuron
// ------------------------------------------------------------------
template <class C>
constexpr int st_smem(int rmax) {
  return C::NS * C::TILE + s_max(C::NW * rmax * 4, C::D) + 512 + 16 * C::NS;
}
template <class C, int OCC>
__global__ void __launch_bounds__(C::NT + 32, OCC) s_test(const __grid_constant__ SArgs a) {
  float* sp = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  float* red = reinterpret_cast<float*>(smem + C::NS * C::TILE + s_max(C::NW * a.rmax * 4, C::D));
  const int tid = threadIdx.x, d = C::D, lane = tid & 31;
  Ring q = ring_init<C>(reinterpret_cast<unsigned char*>(red + 128), tid);
  int w0, nw;
  split_rows(blockIdx.x, gridDim.x, d / 8, w0, nw);
  if (tid >= C::NT) {
    produce_flat<C>(q, a.p1 + (size_t)w0 * 32 * d, nw * 16, policy_evict_first(), lane);
    return;
  }
  Affine<C> af;
  af.early(a.g2, a.e2, tid);
  pdl_wait();
  pdl_launch();
  float x[C::V][8];
  load_x<C>(x, a.xa, tid);
  layer_norm<C>(x, af, red, tid);
  uint4 xi;
  const float sx = quantise<C>(x, xi, reinterpret_cast<unsigned char*>(sp), red + 64, tid);
  bar_named(1, C::NT);
  consume_i8<C>(q, xi, nw * 16, sp + (tid >> 5) * a.rmax, tid);
  bar_named(1, C::NT);
  for (int k = tid >> 5; k < nw; k += C::NW) {
    const int r = 32 * k + lane, row = w0 * 32 + r;
    const float sc = __ldg(a.s2 + row), b = __ldg(a.nb + row);
    float v = 0;
#pragma unroll
    for (int w = 0; w < C::NW; ++w) {
      v += sp[w * a.rmax + r];
    }
    v = v * sx * sc + b;
    const unsigned m = __ballot_sync(~0u, v > 0);
    if (lane == 0) {
      a.mask[w0 + k] = m;
    }
    if (a.dbg) {
      a.dbg[row] = v;
    }
  }
}
// ---- LM head
// -----------------------------------------------------------------------------------------------------------
template <class C, int XM, int OCC>
__global__ void __launch_bounds__(C::NT + 32, OCC)
    s_head(const __grid_constant__ SArgs a, const __half* w, int vocab, float* y) {
  float* sp = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  float* red = sp + C::NW * a.rmax;
  const int tid = threadIdx.x;
  Ring q = ring_init<C>(reinterpret_cast<unsigned char*>(red + 64), tid);
  int r0, n;
  split_rows(blockIdx.x, gridDim.x, vocab, r0, n);
  if (tid >= C::NT) {
    produce_flat<C>(q, w + (size_t)r0 * C::D, n, policy_evict_first(), tid & 31);
    return;
  }
  Affine<C> af;
  af.early(a.g1, a.e1, tid);
  pdl_wait();
  pdl_launch();
  float x[C::V][8];
  load_xm<C, XM>(x, a.x, a.rg, tid);
  if (XM != kF32 && blockIdx.x == 0)
#pragma unroll
    for (int v = 0; v < C::V; ++v)
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        a.xb[8 * (tid + v * C::NT) + i] = x[v][i];
      }
  layer_norm<C>(x, af, red, tid);
  consume<C, false>(q, x, n, sp + (tid >> 5) * a.rmax, tid);
  epilogue<C, kPlain>(sp, a.rmax, n, r0, nullptr, nullptr, y, nullptr, nullptr, C::D, 0, tid);
}
// ---- references
// ----------------------------------------------------------------------------------------------------------
__global__ void ref_out_heads(const __half* wo, const float* att, const float* bo, const float* res, float* y,
                              int d) {  // att is 0 where not chosen
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x & 31;
  if (row >= d) {
    return;
  }
  double s = 0;
  for (int i = lane; i < d; i += 32) {
    s += (double)__half2float(wo[((size_t)(i / HD) * d + row) * HD + i % HD]) * att[i];
  }
  for (int o = 16; o > 0; o >>= 1) {
    s += __shfl_xor_sync(~0u, s, o);
  }
  if (lane == 0) {
    y[row] = (float)(s + bo[row] + res[row]);
  }
}
__global__ void ref_fc2_nm(const __half* w2, const float* h, const float* b2, const float* res, float* y, int d) {
  const int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= d) {
    return;
  }
  double s = 0;
  for (int i = 0; i < 4 * d; ++i) {
    if (h[i] != 0) {
      s += (double)h[i] * (double)__half2float(w2[(size_t)i * d + c]);
    }
  }
  y[c] = (float)(s + b2[c] + res[c]);
}
__global__ void ref_keep(float* v, const unsigned char* keep, int n, int per) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    if (!keep[i / per]) {
      v[i] = 0;
    }
  }
}
// y[row] = sum of int8 row times quantised x, times scale (+ bias): the predictors' arithmetic, plainly.
__global__ void ref_i8(const int8_t* w, int ld, const float* x, int k, const float* scale, const float* bias, float* y,
                       int n, int quant) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x & 31;
  if (row >= n) {
    return;
  }
  float m = 0;
  for (int i = 0; i < k; ++i) {
    m = fmaxf(m, fabsf(x[i]));
  }
  double s = 0;
  for (int i = lane; i < k; i += 32) {
    s += (double)w[(size_t)row * ld + i] * (quant ? rint((double)x[i] * 127 / m) * m / 127 : (double)x[i]);
  }
  for (int o = 16; o > 0; o >>= 1) {
    s += __shfl_xor_sync(~0u, s, o);
  }
  if (lane == 0) {
    y[row] = (float)(s * scale[row] + (bias ? bias[row] : 0));
  }
}
__global__ void fill_i8(int8_t* p, size_t n, uint64_t seed) {
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n / 4; i += (size_t)gridDim.x * blockDim.x) {
    reinterpret_cast<uint32_t*>(p)[i] = hash32(seed + i) | 0x01000001u;
  }
}
__global__ void to_fix(const float* x, long long* y, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    y[i] = __float2ll_rn(x[i] * 4294967296.0f);
  }
}
