// Round 3: s1 with the head list in shared memory, s2 merging its splits, the out-projection three ways, s4 choosing
// the next heads.
#pragma once
#include "sparse.cuh"

// One warp, keys in shared memory: unique 64-bit keys (ordered score, then lower index first), rank = how many are
// greater.
DEV void choose_fast(const float* scores, int heads, int nh, int* list, unsigned long long* key, int lane) {
  unsigned long long k[3];
#pragma unroll
  for (int i = 0; i < 3; ++i) {
    const int e = lane + 32 * i;
    unsigned u = 0;
    if (e < heads) {
      u = __float_as_uint(ldcg1(scores + e));
      u = u & 0x80000000u ? ~u : u | 0x80000000u;
    }
    k[i] = e < heads ? ((unsigned long long)u << 32 | (unsigned)(255 - e)) : 0;
    key[e] = k[i];
  }
  __syncwarp();
  int rank[3] = {};
#pragma unroll 4
  for (int j = 0; j < heads; j += 2) {
    const ulonglong2 o = *reinterpret_cast<const ulonglong2*>(key + j);
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      rank[i] += (int)(o.x > k[i]) + (int)(o.y > k[i]);
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
DEV void list_to_shared(int* sl, const int* list, int nh, int lane) {
  for (int i = lane; i < nh; i += 32) {
    sl[i] = __ldcg(list + i);
  }
  __syncwarp();
}
// As s1_qkv, but the producer reads the list once.
template <class C, int XM, int OCC>
__global__ void __launch_bounds__(C::NT + 32, OCC) t1_qkv(const __grid_constant__ SArgs a) {
  float* sp = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  float* red = reinterpret_cast<float*>(smem + C::NS * C::TILE + s_max(C::NW * a.rmax * 4, C::D));
  __shared__ int sl[96];
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
      list_to_shared(sl, a.list, a.nh, lane);
      produce_by<C, C::R>(q, nq, C::UNIT, C::UNIT, pol, lane,
                          [&](int i) { return a.wq + (size_t)(sl[(j0 + i) / HD] * HD + (j0 + i) % HD) * d; });
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
// ---- out-projection, ring; MERGED: x is att [nh][128], else the splits' partials
// -------------------------------------
template <class C, int XM, int S, bool MERGED, int OCC>
__global__ void __launch_bounds__(C::NT + 32, OCC) t3_ring(const __grid_constant__ SArgs a) {
  float* xs = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  __shared__ int sl[96];
  const int tid = threadIdx.x, d = C::D;
  Ring q = ring_init<C>(reinterpret_cast<unsigned char*>(xs + a.nh * HD), tid);
  int r0, n;
  split_rows(blockIdx.x, gridDim.x, d, r0, n);
  if (tid >= C::NT) {
    const int lane = tid & 31;
    list_to_shared(sl, a.list, a.nh, lane);
    produce_by<C, C::R>(q, a.nh, n * 2 * HD, C::UNIT, policy_evict_first(), lane,
                        [&](int i) { return a.wo + ((size_t)sl[i] * d + r0) * HD; });
    return;
  }
  const int c8 = tid & 15;
  float res[C::V] = {};  // residual and bias of this thread's rows: older than the launch before
#pragma unroll
  for (int v = 0; v < C::V; ++v) {
    const int row = (tid + v * C::NT) >> 4;
    if (c8 == 0 && row < n) {
      res[v] = load_one<XM>(a.x, a.rg, d, r0 + row) + a.bo[r0 + row];
    }
  }
  pdl_wait();
  pdl_launch();
  if (MERGED) {
    for (int e = tid * 4; e < a.nh * HD; e += C::NT * 4) {
      *reinterpret_cast<float4*>(xs + e) = ldcg4(a.att + e);
    }
  } else {
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
// ---- out-projection, plain loads held in registers over the wait: no ring, so it sits beside attention and fc1's ring
// ---- A warp takes two rows; a load covers two heads' 256 bytes of one row. An item is 2 rows x K head pairs; two
// items in flight.
constexpr int NT3 = 512, K3 = 3;
constexpr int t3_smem(int nh) { return (nh + 2 * K3) * HD * 4; }
template <int D, int XM>
__global__ void __maxnreg__(72) t3_ldg(const __grid_constant__ SArgs a) {
  __shared__ int sl[112];
  float* xs =
      reinterpret_cast<float*>(smem);  // per head: first halves of the 16 vectors, then second halves; zeros behind
  const int tid = threadIdx.x, lane = tid & 31, warp = tid >> 5, hh = lane >> 4, c8 = lane & 15, nh = a.nh;
  const int chunks = (nh + 2 * K3 - 1) / (2 * K3);
  int r0, n;
  split_rows(blockIdx.x, gridDim.x, D, r0, n);
  if (tid < 112) {
    sl[tid] = tid < nh ? __ldcg(a.list + tid) : -1;
  }
  __syncthreads();
  const int items = ((n + 1) / 2 - warp + NT3 / 32 - 1) / (NT3 / 32) * chunks;  // of this warp
  uint4 cur[2][K3], nxt[2][K3];
  int fr = 2 * warp, fc = 0, fi = 0;  // what is fetched next
  auto fetch = [&](uint4(&w)[2][K3]) {
#pragma unroll
    for (int k = 0; k < K3; ++k) {
      const int h = sl[(fc * K3 + k) * 2 + hh];
      const __half* p = a.wo + ((size_t)h * D + r0 + fr) * HD + c8 * 8;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        w[r][k] = make_uint4(0, 0, 0, 0);
        if (fi < items && h >= 0 && fr + r < n) w[r][k] = ldg_stream(p + r * HD);
      }
    }
    ++fi;
    if (++fc == chunks) {
      fc = 0;
      fr += 2 * (NT3 / 32);
    }
  };
  fetch(cur);
  fetch(nxt);
  int row = 2 * warp + hh, c = 0;
  float res = c8 == 0 && row < n ? load_one<XM>(a.x, a.rg, D, r0 + row) + a.bo[r0 + row] : 0.f, acc[2] = {};
  pdl_wait();
  pdl_launch();
  for (int e = tid * 4; e < (chunks * 2 * K3) * HD; e += NT3 * 4) {
    const float4 v = e < nh * HD ? ldcg4(a.att + e) : make_float4(0, 0, 0, 0);
    *reinterpret_cast<float4*>(xs + e / HD * HD + (e >> 2 & 1) * (HD / 2) + (e % HD >> 3) * 4) = v;
  }
  __syncthreads();
  for (int it = 0; it < items; ++it) {
#pragma unroll
    for (int k = 0; k < K3; ++k) {
      const float4* p = reinterpret_cast<const float4*>(xs + ((c * K3 + k) * 2 + hh) * HD) + c8;
      const float4 f0 = p[0], f1 = p[HD / 8];
      const float x8[8] = {f0.x, f0.y, f0.z, f0.w, f1.x, f1.y, f1.z, f1.w};
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        acc[r] = dot8(cur[r][k], x8, acc[r]);
      }
    }
#pragma unroll
    for (int k = 0; k < K3; ++k)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        cur[r][k] = nxt[r][k];
      }
    fetch(nxt);
    if (++c == chunks) {
      c = 0;
      const float s = warp_multi_sum<2>(acc, lane);  // lanes 0..15: the first row
      if (c8 == 0 && row < n) {
        a.xa[r0 + row] = s + res;
      }
      row += 2 * (NT3 / 32);
      res = c8 == 0 && row < n ? load_one<XM>(a.x, a.rg, D, r0 + row) + a.bo[r0 + row] : 0.f;
      acc[0] = acc[1] = 0;
    }
  }
}
// ---- 2 and 4 --------------------------------------------------------------------------------------------
template <int NS, int S, bool MERGE, int OCC>
__global__ void __maxnreg__(64) t2_attn(const __grid_constant__ SArgs a) {
  float* asp = reinterpret_cast<float*>(smem + NS * T2B);
  unsigned char* hq =
      reinterpret_cast<unsigned char*>(asp + NA2 / 32 * (HD + 1));  // 1024 bytes: the quantised hidden vector
  unsigned char* mb = hq + 1024;
  float* sc = reinterpret_cast<float*>(mb + 16 * NS);
  __shared__ float red[NT2 / 32];
  __shared__ int last;
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
    if (!MERGE) {
      return;
    }
    __threadfence();  // the last of a head's S blocks merges
    bar_named(2, NA2);
    if (t == 0) {
      unsigned o;
      asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(o) : "l"(a.ctr + 128 + j) : "memory");
      last = o == S - 1;
      if (last) {
        a.ctr[128 + j] = 0;
      }
    }
    bar_named(2, NA2);
    if (!last) {
      return;
    }
    float pm[S], pl[S], po[S], m = -INFINITY, z = 0, o = 0;
#pragma unroll
    for (int i = 0; i < S; ++i) {
      pm[i] = ldcg1(a.pm + j * S + i);
      pl[i] = ldcg1(a.pl + j * S + i);
      po[i] = ldcg1(a.po + (size_t)(j * S + i) * HD + t);
    }
#pragma unroll
    for (int i = 0; i < S; ++i) {
      m = fmaxf(m, pm[i]);
    }
#pragma unroll
    for (int i = 0; i < S; ++i) {
      const float f = __expf(pm[i] - m);
      z += f * pl[i];
      o += f * po[i];
    }
    a.att[j * HD + t] = o / z;
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
template <class C, int OCC>
__global__ void __launch_bounds__(C::NT + 64, OCC) t4_fc1(const __grid_constant__ SArgs a) {
  float* sp = reinterpret_cast<float*>(smem + C::NS * C::TILE);
  float* red = sp + C::NW * a.rmax;
  int* ids = reinterpret_cast<int*>(red + 128);
  float* hs = reinterpret_cast<float*>(ids + a.rmax);
  unsigned char* mb = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(hs + a.rmax) + 7) & ~uintptr_t(7));
  __shared__ int count;
  __shared__ __align__(16) unsigned long long key[96];
  const int tid = threadIdx.x, d = C::D;
  Ring q = ring_init<C>(mb, tid);
  if (tid >= C::NT + 32) {  // the next layer's heads, from scores written two launches ago
    if (blockIdx.x == gridDim.x - 1) {
      choose_fast(a.sc_out, a.heads, a.nh, a.list_out, key, tid & 31);
    }
    return;
  }
  if (tid >= C::NT) {
    const int lane = tid & 31;
    const uint64_t pol = policy_evict_first();
    bar_named(2, C::NT + 32);
    const int n = count;
    produce_by<C, C::R>(q, n, C::UNIT, C::UNIT, pol, lane, [&](int i) { return a.w1 + (size_t)ids[i] * d; });
    return;
  }
  int first;
  Affine<C> af;
  const int n =
      own_neurons<C>(a.mask, blockIdx.x, gridDim.x, a.rmax, ids, reinterpret_cast<int*>(red + 64), first, tid);
  if (tid == 0) {
    count = n;
  }
  bar_named(2, C::NT + 32);
  af.early(a.g2, a.e2, tid);
  const float bias = tid < n ? __ldg(a.b1 + ids[tid]) : 0.f;
  {
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
    a.h[first + tid] = s;
  }
}
