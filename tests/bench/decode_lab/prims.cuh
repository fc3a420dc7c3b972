// Device primitives of the decode lab: PTX wrappers, reductions, the ring of shared memory, the grid barrier.
#pragma once
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#define DEV __device__ __forceinline__

DEV uint32_t smem_u32(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }
DEV void pdl_launch() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }
DEV void pdl_wait() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
DEV void bar_named(int id, int n) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(n) : "memory"); }

DEV void mbar_init(uint32_t a, uint32_t n) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(a), "r"(n) : "memory");
}
DEV void mbar_fence_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
DEV void mbar_expect(uint32_t a, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(a), "r"(bytes) : "memory");
}
DEV void mbar_arrive(uint32_t a) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(a) : "memory"); }
DEV void mbar_wait(uint32_t a, uint32_t parity) {
  uint32_t ok = 0, spins = 0;
  do {
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(ok)
                 : "r"(a), "r"(parity)
                 : "memory");
    if (!ok && ++spins > 50000000u) {
      __trap();
    }
  } while (!ok);
}
DEV uint64_t policy_evict_first() {
  uint64_t p;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(p));
  return p;
}
DEV void bulk_load(uint32_t dst, const void* src, uint32_t bytes, uint32_t bar, uint64_t pol) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::
          "r"(dst),
      "l"(src), "r"(bytes), "r"(bar), "l"(pol)
      : "memory");
}
DEV void prefetch_l2(const void* src, uint32_t bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(src), "r"(bytes) : "memory");
}
DEV uint4 lds128(uint32_t a) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(a));
  return v;
}
DEV uint4 ldg_stream(const void* p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}
DEV uint4 ldg_cg(const void* p) {
  uint4 v;
  asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p)
               : "memory");
  return v;
}
DEV float4 ldcg4(const float* p) {
  float4 v;
  asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "l"(p)
               : "memory");
  return v;
}
DEV float ldcg1(const float* p) {
  float v;
  asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(v) : "l"(p) : "memory");
  return v;
}

DEV float2 h2f(uint32_t u) {
  __half2 h;
  *reinterpret_cast<uint32_t*>(&h) = u;
  return __half22float2(h);
}
DEV float dot8(uint4 w, const float* x, float acc) {
  float2 a = h2f(w.x), b = h2f(w.y), c = h2f(w.z), d = h2f(w.w);
  acc = fmaf(a.x, x[0], acc);
  acc = fmaf(a.y, x[1], acc);
  acc = fmaf(b.x, x[2], acc);
  acc = fmaf(b.y, x[3], acc);
  acc = fmaf(c.x, x[4], acc);
  acc = fmaf(c.y, x[5], acc);
  acc = fmaf(d.x, x[6], acc);
  acc = fmaf(d.y, x[7], acc);
  return acc;
}
DEV float warp_sum(float v) {
#pragma unroll
  for (int o = 16; o > 0; o >>= 1) {
    v += __shfl_xor_sync(~0u, v, o);
  }
  return v;
}
// Sums R values per lane over the warp; afterwards lane L holds the sum of row row_of_lane<R>(L).
template <int R>
DEV float warp_multi_sum(float (&a)[R], int lane) {
  int o = 16;
#pragma unroll
  for (int n = R; n > 1; n >>= 1, o >>= 1) {
    const bool up = lane & o;
#pragma unroll
    for (int i = 0; i < n / 2; ++i) {
      const float send = up ? a[i] : a[i + n / 2];
      const float keep = up ? a[i + n / 2] : a[i];
      a[i] = keep + __shfl_xor_sync(~0u, send, o);
    }
  }
  float v = a[0];
#pragma unroll
  for (int q = 16 / R; q > 0; q >>= 1) {
    v += __shfl_xor_sync(~0u, v, q);
  }
  return v;
}
template <int R>
DEV int row_of_lane(int lane) {
  int row = 0, o = 16;
#pragma unroll
  for (int n = R; n > 1; n >>= 1, o >>= 1) {
    row += (lane & o) ? n / 2 : 0;
  }
  return row;
}
// Sum over the NT threads of named barrier 1; every thread gets the same bits. `red` holds NW floats and may be reused
// only after another barrier.
template <int NT>
DEV float block_sum(float v, float* red, int tid) {
  constexpr int NW = NT / 32;
  v = warp_sum(v);
  if ((tid & 31) == 0) {
    red[tid >> 5] = v;
  }
  bar_named(1, NT);
  float s = 0;
#pragma unroll
  for (int i = 0; i < NW; ++i) {
    s += red[i];
  }
  return s;
}
DEV void red_release(unsigned* p, unsigned v) {
  asm volatile("red.release.gpu.global.add.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}
DEV unsigned ld_acquire(const unsigned* p) {
  unsigned v;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
  return v;
}
// All `NT` consumer threads of every block; the producer warp doesn't take part.
template <int NT>
DEV void grid_sync(unsigned* ctr, unsigned target, int tid) {
  bar_named(1, NT);
  if (tid == 0) {
    red_release(ctr, 1);
    unsigned spins = 0;
    while ((int)(ld_acquire(ctr) - target) < 0) {
      if (++spins > 20000000u) {
        __trap();
      }
    }
  }
  bar_named(1, NT);
}

// ---- ring -----------------------------------------------------------------------------------------------------
// One "unit" is D = NT*V*8 halves: one row for matrices of K = D, a quarter of a row for fc2. A tile is R units.
template <int NT_, int V_, int R_, int NS_>
struct Cfg {
  static constexpr int NT = NT_, V = V_, R = R_, NS = NS_, NW = NT / 32, D = NT * V * 8, UNIT = D * 2, TILE = UNIT * R;
};
struct Ring {
  uint32_t base, full, empty;  // shared addresses; full[i] at full + 8*i
  uint32_t slot, phase;
  template <int NS>
  DEV void next() {
    if (++slot == NS) {
      slot = 0;
      phase ^= 1;
    }
  }
};
// Rows [r0, r0+n) of a matrix whose rows are `ld` halves apart, in `chunks` units per row: chunk outer, rows inner.
template <class C>
DEV void produce(Ring& q, const __half* w, int r0, int n, size_t ld, int chunks, uint64_t pol) {
  for (int c = 0; c < chunks; ++c) {
    for (int t = 0; t < n; t += C::R) {
      const int m = min(C::R, n - t);
      mbar_wait(q.empty + 8 * q.slot, q.phase ^ 1);
      const uint32_t bar = q.full + 8 * q.slot, dst = q.base + q.slot * C::TILE;
      mbar_expect(bar, m * C::UNIT);
      const __half* src = w + (size_t)(r0 + t) * ld + (size_t)c * C::D;
      if (chunks == 1) {
        bulk_load(dst, src, m * C::UNIT, bar, pol);
      } else {
        for (int i = 0; i < m; ++i) {
          bulk_load(dst + i * C::UNIT, src + i * ld, C::UNIT, bar, pol);
        }
      }
      q.next<C::NS>();
    }
  }
}
// sp: this warp's partial sums of the block's rows.
template <class C, bool ADD>
DEV void consume(Ring& q, const float (&x)[C::V][8], int n, float* sp, int tid) {
  const int lane = tid & 31;
  const int row = row_of_lane<C::R>(lane);
  for (int t = 0; t < n; t += C::R) {
    mbar_wait(q.full + 8 * q.slot, q.phase);
    const uint32_t src = q.base + q.slot * C::TILE + tid * 16;
    float acc[C::R];
#pragma unroll
    for (int r = 0; r < C::R; ++r) {
      acc[r] = 0;
#pragma unroll
      for (int v = 0; v < C::V; ++v) {
        acc[r] = dot8(lds128(src + r * C::UNIT + v * C::NT * 16), x[v], acc[r]);
      }
    }
    __syncwarp();
    if (lane == 0) {
      mbar_arrive(q.empty + 8 * q.slot);
    }
    const float s = warp_multi_sum<C::R>(acc, lane);
    if ((lane & (32 / C::R - 1)) == 0 && t + row < n) {
      sp[t + row] = ADD ? sp[t + row] + s : s;
    }
    q.next<C::NS>();
  }
}
template <class C>
DEV void load_x(float (&x)[C::V][8], const float* src, int tid) {
#pragma unroll
  for (int v = 0; v < C::V; ++v) {
    const float4 a = ldcg4(src + 8 * (tid + v * C::NT)), b = ldcg4(src + 8 * (tid + v * C::NT) + 4);
    x[v][0] = a.x;
    x[v][1] = a.y;
    x[v][2] = a.z;
    x[v][3] = a.w;
    x[v][4] = b.x;
    x[v][5] = b.y;
    x[v][6] = b.z;
    x[v][7] = b.w;
  }
}
// Gain and bias: held in registers before the wait where they fit (V < 3), else pulled into L2 before and read after.
template <class C>
struct Affine {
  static constexpr bool kHeld = C::V < 3;
  float g[kHeld ? C::V : 1][8], b[kHeld ? C::V : 1][8];
  const float *pg, *pb;
  DEV void early(const float* gp, const float* bp, int tid) {
    pg = gp;
    pb = bp;
    if constexpr (kHeld) {
      load_x<C>(g, gp, tid);
      load_x<C>(b, bp, tid);
    } else
#pragma unroll
      for (int v = 0; v < C::V; ++v) {
        asm volatile("prefetch.global.L2 [%0];" ::"l"(gp + 8 * (tid + v * C::NT)));
        asm volatile("prefetch.global.L2 [%0];" ::"l"(bp + 8 * (tid + v * C::NT)));
      }
  }
  DEV void apply(float (&x)[8], int v, float rstd, int tid) const {
    if constexpr (kHeld) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        x[i] = fmaf(x[i] * rstd, g[v][i], b[v][i]);
      }
    } else {
      const float4* gp = reinterpret_cast<const float4*>(pg + 8 * (tid + v * C::NT));
      const float4* bp = reinterpret_cast<const float4*>(pb + 8 * (tid + v * C::NT));
      const float4 g0 = __ldg(gp), g1 = __ldg(gp + 1), b0 = __ldg(bp), b1 = __ldg(bp + 1);
      x[0] = fmaf(x[0] * rstd, g0.x, b0.x);
      x[1] = fmaf(x[1] * rstd, g0.y, b0.y);
      x[2] = fmaf(x[2] * rstd, g0.z, b0.z);
      x[3] = fmaf(x[3] * rstd, g0.w, b0.w);
      x[4] = fmaf(x[4] * rstd, g1.x, b1.x);
      x[5] = fmaf(x[5] * rstd, g1.y, b1.y);
      x[6] = fmaf(x[6] * rstd, g1.z, b1.z);
      x[7] = fmaf(x[7] * rstd, g1.w, b1.w);
    }
  }
};
template <class C>
DEV void layer_norm(float (&x)[C::V][8], const Affine<C>& af, float* red, int tid) {
  float s = 0;
#pragma unroll
  for (int v = 0; v < C::V; ++v)
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      s += x[v][i];
    }
  const float mean = block_sum<C::NT>(s, red, tid) * (1.0f / C::D);
  s = 0;
#pragma unroll
  for (int v = 0; v < C::V; ++v)
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      x[v][i] -= mean;
      s = fmaf(x[v][i], x[v][i], s);
    }
  const float rstd = rsqrtf(block_sum<C::NT>(s, red + 32, tid) * (1.0f / C::D) + 1e-5f);
#pragma unroll
  for (int v = 0; v < C::V; ++v) {
    af.apply(x[v], v, rstd, tid);
  }
}

// ---- attention of one head (and one split of its tokens), head size 128, cache [head][TMAX][128] f16 ----------
constexpr int TMAX = 2176, HD = 128;
template <int NT, int KP_ = 0, int BAR = 1>
struct Attn {
  static constexpr int NG = NT / 16,
                       KP = KP_ ? KP_ : (128 + NG - 1) / NG;  // 16 lanes per token; KP tokens per group held early
  uint4 k[KP], v[KP];
  // Tokens below `old` are of earlier calls: readable before the wait.
  DEV void preload(const __half* kc, const __half* vc, int t0, int old, int tid) {
    const int g = tid >> 4, l = tid & 15;
#pragma unroll
    for (int i = 0; i < KP; ++i) {
      const int t = t0 + g + i * NG;
      k[i] = v[i] = make_uint4(0, 0, 0, 0);
      if (t < old) {
        k[i] = ldg_cg(kc + (size_t)t * HD + l * 8);
        v[i] = ldg_cg(vc + (size_t)t * HD + l * 8);
      }
    }
  }
  // Scores into sc, weighted sum into out[128] (normalised if !part; else out, pm, pl are the split's partials).
  DEV void run(const float* q, const __half* kc, const __half* vc, int t0, int t1, int old, float* sc, float* sp,
               float* out, float* pm, float* pl, bool part, int tid) {
    constexpr int NW = NT / 32;
    const int g = tid >> 4, l = tid & 15, lane = tid & 31, warp = tid >> 5;
    float qx[8];
    {
      const float4 a = ldcg4(q + l * 8), b = ldcg4(q + l * 8 + 4);
      qx[0] = a.x;
      qx[1] = a.y;
      qx[2] = a.z;
      qx[3] = a.w;
      qx[4] = b.x;
      qx[5] = b.y;
      qx[6] = b.z;
      qx[7] = b.w;
    }
#pragma unroll
    for (int i = 0; i < KP; ++i) {
      const int t = t0 + g + i * NG;
      if (t >= old && t < t1) {
        k[i] = ldg_cg(kc + (size_t)t * HD + l * 8);
        v[i] = ldg_cg(vc + (size_t)t * HD + l * 8);
      }
      float s = dot8(k[i], qx, 0);
      for (int o = 8; o > 0; o >>= 1) {
        s += __shfl_xor_sync(~0u, s, o);
      }
      if (l == 0 && t < t1) {
        sc[t - t0] = s * 0.08838834764831845f;
      }
    }
    const int tb = t0 + NG * KP;
    for (int tt = tb; tt < t1; tt += NG * 4) {
      uint4 kk[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        kk[i] = ldg_cg(kc + (size_t)min(tt + g + i * NG, t1 - 1) * HD + l * 8);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float s = dot8(kk[i], qx, 0);
        for (int o = 8; o > 0; o >>= 1) {
          s += __shfl_xor_sync(~0u, s, o);
        }
        const int t = tt + g + i * NG;
        if (l == 0 && t < t1) {
          sc[t - t0] = s * 0.08838834764831845f;
        }
      }
    }
    bar_named(BAR, NT);
    const int n = t1 - t0;
    float m = -INFINITY;
    for (int i = lane; i < n; i += 32) {
      m = fmaxf(m, sc[i]);
    }
#pragma unroll
    for (int o = 16; o > 0; o >>= 1) {
      m = fmaxf(m, __shfl_xor_sync(~0u, m, o));
    }
    float acc[8] = {}, ls = 0;
#pragma unroll
    for (int i = 0; i < KP; ++i) {
      const int t = t0 + g + i * NG;
      const float p = t < t1 ? __expf(sc[t - t0] - m) : 0.f;
      const float2 a = h2f(v[i].x), b = h2f(v[i].y), c = h2f(v[i].z), d = h2f(v[i].w);
      acc[0] += p * a.x;
      acc[1] += p * a.y;
      acc[2] += p * b.x;
      acc[3] += p * b.y;
      acc[4] += p * c.x;
      acc[5] += p * c.y;
      acc[6] += p * d.x;
      acc[7] += p * d.y;
      ls += p;
    }
    for (int tt = tb; tt < t1; tt += NG * 4) {
      uint4 kk[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        kk[i] = ldg_cg(vc + (size_t)min(tt + g + i * NG, t1 - 1) * HD + l * 8);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int t = tt + g + i * NG;
        const float p = t < t1 ? __expf(sc[t - t0] - m) : 0.f;
        const float2 a = h2f(kk[i].x), b = h2f(kk[i].y), c = h2f(kk[i].z), d = h2f(kk[i].w);
        acc[0] += p * a.x;
        acc[1] += p * a.y;
        acc[2] += p * b.x;
        acc[3] += p * b.y;
        acc[4] += p * c.x;
        acc[5] += p * c.y;
        acc[6] += p * d.x;
        acc[7] += p * d.y;
        ls += p;
      }
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      acc[i] += __shfl_xor_sync(~0u, acc[i], 16);
    }
    ls += __shfl_xor_sync(~0u, ls, 16);
    if (lane < 16) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        sp[warp * HD + l * 8 + i] = acc[i];
      }
      if (lane == 0) {
        sp[NW * HD + warp] = ls;
      }
    }
    bar_named(BAR, NT);
    if (tid < HD) {
      float o = 0, z = 0;
#pragma unroll
      for (int w = 0; w < NW; ++w) {
        o += sp[w * HD + tid];
        z += sp[NW * HD + w];
      }
      out[tid] = part ? o : o / z;
      if (part && tid == 0) {
        *pm = m;
        *pl = z;
      }
    }
  }
};
// x of the out-projection from S partials per head.
template <class C>
DEV void load_x_splits(float (&x)[C::V][8], const float* po, const float* pm, const float* pl, int S, int tid) {
#pragma unroll
  for (int v = 0; v < C::V; ++v) {
    const int e = 8 * (tid + v * C::NT), h = e / HD, c = e % HD;
    float m = -INFINITY, z = 0;
    for (int s = 0; s < S; ++s) {
      m = fmaxf(m, ldcg1(pm + h * S + s));
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      x[v][i] = 0;
    }
    for (int s = 0; s < S; ++s) {
      const float f = __expf(ldcg1(pm + h * S + s) - m);
      z += f * ldcg1(pl + h * S + s);
      const float* p = po + (size_t)(h * S + s) * HD + c;
      const float4 a = ldcg4(p), b = ldcg4(p + 4);
      x[v][0] += f * a.x;
      x[v][1] += f * a.y;
      x[v][2] += f * a.z;
      x[v][3] += f * a.w;
      x[v][4] += f * b.x;
      x[v][5] += f * b.y;
      x[v][6] += f * b.z;
      x[v][7] += f * b.w;
    }
    const float r = 1.0f / z;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      x[v][i] *= r;
    }
  }
}
