// The sparse chain with fixed budgets. See README.md.
#include "host.cuh"
#include "sparse3.cuh"

template <int D>
struct Shape;
template <>
struct Shape<4096> {
  using B = Cfg<512, 1, 4, 6>;
  using B2 = Cfg<256, 2, 4, 6>;
  using H = Cfg<256, 2, 4, 3>;
  using H2 = H;
  static constexpr int S = 10;
  static constexpr int AT = 256, KP = 4, AM = 4;
};
template <>
struct Shape<7168> {
  using B = Cfg<448, 2, 2, 7>;
  using B2 = B;
  using H = void;
  using H2 = Cfg<448, 2, 2, 3>;
  static constexpr int S = 5;
  static constexpr int AT = 256, KP = 4, AM = 4;
};
template <>
struct Shape<9216> {
  using B = Cfg<384, 3, 2, 5>;
  using B2 = Cfg<576, 2, 2, 5>;
  using H = void;
  using H2 = Cfg<576, 2, 1, 5>;
  static constexpr int S = 4;
  static constexpr int AT = 256, KP = 4, AM = 4;
};
template <>
struct Shape<12288> {
  using B = Cfg<512, 3, 2, 4>;
  using B2 = Cfg<768, 2, 2, 4>;
  using H = void;
  using H2 = void;
  static constexpr int S = 3;
  static constexpr int AT = 128, KP = 4, AM = 7;
};

// ---- sparse
// -----------------------------------------------------------------------------------------------------------
struct Sparse {
  Model m;
  int nh, nn;  // chosen heads and neurons
  int8_t *p1, *p2, *h2;
  float *s1, *s2, *nb, *hs, *hb;  // per layer: 2000, 4d, 4d, heads, heads
  float *hid, *sc, *part, *dbg;
  int *list, *list0;  // two lists of 128; the first layer's
  unsigned *mask, *ctr;
  long long *acc, *x0fix;  // [2][d]
  std::vector<std::vector<unsigned char>> keep_n, keep_h;
  bool want_dbg;
  int8_t* copy;  // exact mode: [layer][4d][d]
};
static std::vector<unsigned char> scatter(int n, int k, uint64_t seed) {
  std::vector<unsigned char> v(n, 0);
  uint64_t s = seed * 0x9E3779B97F4A7C15ull + 1;
  for (int left = k; left > 0;) {
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    const int i = (int)(s % n);
    if (!v[i]) {
      v[i] = 1;
      --left;
    }
  }
  return v;
}
static Sparse make_sparse(const Model& m, double dn, double dh) {
  Sparse s = {};
  s.m = m;
  const int d = m.d, L = m.layers, H = m.heads;
  s.nn = (int)std::lround(4 * d * dn);
  s.nh = (int)std::lround(H * dh);
  s.p1 = dalloc<int8_t>((size_t)L * 2 * PR * d);
  s.p2 = dalloc<int8_t>((size_t)L * 4 * d * PS);
  s.h2 = dalloc<int8_t>((size_t)L * H * PS);
  fill_i8<<<g_sms * 8, 256, 0, g_st>>>(s.p1, (size_t)L * 2 * PR * d, 1ull << 50);
  fill_i8<<<g_sms * 8, 256, 0, g_st>>>(s.p2, (size_t)L * 4 * d * PS, 2ull << 50);
  fill_i8<<<g_sms * 8, 256, 0, g_st>>>(s.h2, (size_t)L * H * PS, 3ull << 50);
  s.s1 = dalloc<float>((size_t)L * 2 * PR);
  fillf(s.s1, (size_t)L * 2 * PR, 0.002f / std::sqrt((float)d), 0.014f / std::sqrt((float)d), 21);
  s.s2 = dalloc<float>((size_t)L * 4 * d);
  fillf(s.s2, (size_t)L * 4 * d, 5e-5f, 5e-4f, 22);
  s.hs = dalloc<float>((size_t)L * H);
  fillf(s.hs, (size_t)L * H, 5e-5f, 5e-4f, 23);
  s.nb = dalloc<float>((size_t)L * 4 * d);
  s.hb = dalloc<float>((size_t)L * H);
  std::vector<float> nb((size_t)L * 4 * d), hb((size_t)L * H);
  for (int l = 0; l < L; ++l) {
    s.keep_n.push_back(scatter(4 * d, s.nn, 100 + l));
    s.keep_h.push_back(scatter(H, s.nh, 900 + l));
    for (int i = 0; i < 4 * d; ++i) {
      nb[(size_t)l * 4 * d + i] = s.keep_n[l][i] ? 1000.f : -1000.f;
    }
  }
  for (int l = 0; l < L; ++l) {  // the row of thresholds beside layer l is that of the next layer's heads
    for (int i = 0; i < H; ++i) {
      hb[(size_t)l * H + i] = s.keep_h[(l + 1) % L][i] ? 1000.f : -1000.f;
    }
  }
  CK(cudaMemcpy(s.nb, nb.data(), nb.size() * 4, cudaMemcpyHostToDevice));
  CK(cudaMemcpy(s.hb, hb.data(), hb.size() * 4, cudaMemcpyHostToDevice));
  s.hid = dalloc<float>(2048);
  s.sc = dalloc<float>(128);
  s.part = dalloc<float>((size_t)64 * d);
  s.dbg = dalloc<float>(4 * d);
  s.list = dalloc<int>(256);
  s.list0 = dalloc<int>(128);
  std::vector<int> li;
  for (int i = 0; i < H; ++i) {
    if (s.keep_h[0][i]) {
      li.push_back(i);
    }
  }
  CK(cudaMemcpy(s.list0, li.data(), li.size() * 4, cudaMemcpyHostToDevice));
  s.mask = dalloc<unsigned>(d / 8);
  s.ctr = dalloc<unsigned>(256);
  s.acc = dalloc<long long>(2 * d);
  s.x0fix = dalloc<long long>(d);
  to_fix<<<32, 256, 0, g_st>>>(m.x0, s.x0fix, d);
  CK(cudaGetLastError());
  CK(cudaStreamSynchronize(g_st));
  return s;
}
static void poison_sparse(const Sparse& s) {
  const int d = s.m.d;
  poison(s.m);
  CK(cudaMemsetAsync(s.hid, 0xff, 2048 * 4, g_st));
  CK(cudaMemsetAsync(s.sc, 0xff, 512, g_st));
  CK(cudaMemsetAsync(s.part, 0xff, (size_t)64 * d * 4, g_st));
  CK(cudaMemsetAsync(s.dbg, 0xff, 16 * d, g_st));
  CK(cudaMemsetAsync(s.mask, 0x55, d / 2, g_st));
  CK(cudaMemsetAsync(s.ctr, 0, 1024, g_st));
  CK(cudaMemsetAsync(s.acc, 0, d * 8, g_st));
  CK(cudaMemsetAsync(s.acc + d, 0x31, d * 8, g_st));
  CK(cudaMemsetAsync(s.list, 0, 1024, g_st));
  CK(cudaMemcpyAsync(s.list, s.list0, s.nh * 4, cudaMemcpyDeviceToDevice, g_st));
}
static std::vector<float> g_ref_score, g_ref_heads;
static void reference_sparse(const Sparse& s, bool exact = false) {
  const Model& m = s.m;
  const int d = m.d, H = m.heads;
  unsigned char *kn = dalloc<unsigned char>(4 * d), *kh = dalloc<unsigned char>(H);
  float* hn = dalloc<float>(2 * PR);
  auto gem = [&](auto k, GemvArgs a) {
    k<<<(a.n + 7) / 8, 256, 0, g_st>>>(a);
    CK(cudaGetLastError());
  };
  for (int l = 0; l < m.layers; ++l) {
    Ptr p = at(m, l);
    CK(cudaMemcpy(kn, s.keep_n[l].data(), 4 * d, cudaMemcpyHostToDevice));
    CK(cudaMemcpy(kh, s.keep_h[l].data(), H, cudaMemcpyHostToDevice));
    ref_ln<<<1, 256, 0, g_st>>>(p.xin, p.g1, p.e1, m.xn, d);
    gem(ref_gemv<kQkv>, ga(m, p.wq, m.xn, 0, 0, p.bq, 0, m.q, 3 * d, d, p.kc, p.vc));
    if (!exact && l == m.layers - 1) {
      ref_i8<<<(2 * PR + 7) / 8, 256, 0, g_st>>>(s.p1 + (size_t)l * 2 * PR * d, d, m.xn, d, s.s1 + (size_t)l * 2 * PR,
                                                 nullptr, hn, 2 * PR, 1);
      ref_i8<<<(4 * d + 7) / 8, 256, 0, g_st>>>(s.p2 + (size_t)l * 4 * d * PS, PS, hn, PR, s.s2 + (size_t)l * 4 * d,
                                                s.nb + (size_t)l * 4 * d, s.dbg, 4 * d, 1);
      ref_i8<<<(H + 7) / 8, 256, 0, g_st>>>(s.h2 + (size_t)l * H * PS, PS, hn + PR, PR, s.hs + (size_t)l * H,
                                            s.hb + (size_t)l * H, s.sc, H, 0);
      CK(cudaStreamSynchronize(g_st));
      g_ref_score = host(s.dbg, 4 * d);
      g_ref_heads = host(s.sc, H);
    }
    ref_attn<<<H, HD, 0, g_st>>>(AttnArgs{m.q, p.kc, p.vc, m.att, 0, 0, 0, m.old, 1});
    if (exact) {
      gem(ref_gemv<kRes>, ga(m, p.wo, m.att, 0, 0, p.bo, p.xin, m.xa, d, d));
    } else {
      ref_keep<<<32, 256, 0, g_st>>>(m.att, kh, d, HD);
      ref_out_heads<<<(d + 7) / 8, 256, 0, g_st>>>(p.wo, m.att, p.bo, p.xin, m.xa, d);
    }
    ref_ln<<<1, 256, 0, g_st>>>(m.xa, p.g2, p.e2, m.xn, d);
    if (exact && l == m.layers - 1) {
      ref_i8<<<(4 * d + 7) / 8, 256, 0, g_st>>>(s.copy + (size_t)l * 4 * d * d, d, m.xn, d, s.s2 + (size_t)l * 4 * d,
                                                s.nb + (size_t)l * 4 * d, s.dbg, 4 * d, 1);
      CK(cudaStreamSynchronize(g_st));
      g_ref_score = host(s.dbg, 4 * d);
    }
    gem(ref_gemv<kRelu>, ga(m, p.w1, m.xn, 0, 0, p.b1, 0, m.h, 4 * d, d));
    ref_keep<<<32, 256, 0, g_st>>>(m.h, kn, 4 * d, 1);
    ref_fc2_nm<<<(d + 127) / 128, 128, 0, g_st>>>(p.w2, m.h, p.b2, m.xa, m.xb, d);
    CK(cudaGetLastError());
    CK(cudaStreamSynchronize(g_st));
  }
  const float* p = m.p + (size_t)m.layers * 13 * d;
  ref_ln<<<1, 256, 0, g_st>>>(m.xb, p, p + d, m.xn, d);
  gem(ref_gemv<kPlain>, ga(m, m.head, m.xn, 0, 0, 0, 0, m.logits, m.vocab, d));
  CK(cudaStreamSynchronize(g_st));
  CK(cudaFree(kn));
  CK(cudaFree(kh));
  CK(cudaFree(hn));
}
static SArgs sargs(const Sparse& s, int l, int xm) {
  const Model& m = s.m;
  const size_t d = m.d, L = l, H = m.heads;
  Ptr p = at(m, l);
  SArgs a = {};
  a.wq = p.wq;
  a.wo = p.wo;
  a.w1 = p.w1;
  a.w2 = p.w2;
  a.p1 = s.p1 + L * 2 * PR * d;
  a.p2 = s.p2 + L * 4 * d * PS;
  a.h2 = s.h2 + L * H * PS;
  a.bq = p.bq;
  a.bo = p.bo;
  a.b1 = p.b1;
  a.b2 = p.b2;
  a.g1 = p.g1;
  a.e1 = p.e1;
  a.g2 = p.g2;
  a.e2 = p.e2;
  a.s1 = s.s1 + L * 2 * PR;
  a.s2 = s.s2 + L * 4 * d;
  a.nb = s.nb + L * 4 * d;
  a.hs = s.hs + L * H;
  a.hb = s.hb + L * H;
  a.rg = xm == kPart && l ? g_sms / CG : 1;
  a.x = xm == kFix    ? (l ? (void*)(s.acc + d * ((l - 1) & 1)) : (void*)s.x0fix)
        : !l          ? (void*)m.x0
        : xm == kPart ? (void*)s.part
                      : (void*)m.xb;
  a.kc = p.kc;
  a.vc = p.vc;
  a.list = s.list + 128 * (l & 1);
  a.list_out = s.list + 128 * ((l + 1) & 1);
  a.sc_out = s.sc;
  a.hid = s.hid;
  a.q = m.q;
  a.po = m.po;
  a.pm = m.pm;
  a.pl = m.pl;
  a.att = m.att;
  a.xa = m.xa;
  a.h = m.h;
  a.part = s.part;
  a.xb = m.xb;
  a.dbg = s.want_dbg ? s.dbg : nullptr;
  a.mask = s.mask;
  a.acc = s.acc + d * (l & 1);
  a.zero = s.acc + d * ((l + 1) & 1);
  a.ctr = s.ctr;
  a.d = m.d;
  a.heads = m.heads;
  a.nh = s.nh;
  a.old = m.old;
  return a;
}
// O: 1 ring, splits merged by every block; 2 ring, merged by attention; 3 plain loads. C1, C4: rings of launch 1, of 4
// and 5.
template <int D, class C, class C1, class C4, int OCC4, int O>
static void chain3(const Sparse& s, bool pdl, int only) {
  constexpr int XM = kFix, S = Shape<D>::S, NS2 = 6;
  const Model& m = s.m;
  int r1 = 0;
  for (int b = 0; b < g_sms; ++b) {
    const Split1 t = split1(b, g_sms, D, s.nh);
    r1 = std::max(r1, t.na + 2 * t.nb);
  }
  const int G = g_sms / CG * CG, n4 = s.nn / g_sms + 2, n5 = s.nn / (g_sms / CG) + 2;
  if (s.nh * S > g_sms) {
    printf("ERROR splits\n");
    exit(3);
  }
  bool first = true;
  auto go = [&](int kind, auto k, int grid, int threads, int sm, auto... args) {
    if (only && only != kind) {
      return;
    }
    launch(k, grid, threads, sm, pdl && !first, false, args...);
    first = false;
  };
  for (int l = 0; l < m.layers; ++l) {
    SArgs a = sargs(s, l, XM);
    a.rmax = r1;
    go(1, t1_qkv<C1, XM, 1>, g_sms, C1::NT + 32, s1_smem<C1>(r1), a);
    go(2, t2_attn<NS2, S, (O > 1), 1>, g_sms, NT2 + NA2 + 32, s2_smem(NS2, (m.old + 1) / S + 2), a);
    if (O < 3) {
      go(3, t3_ring<C, XM, S, (O > 1), 1>, g_sms, C::NT + 32, s3_smem<C>(s.nh), a);
    } else {
      go(3, t3_ldg<D, XM>, g_sms, NT3, t3_smem(s.nh), a);
    }
    a.rmax = n4;
    go(4, t4_fc1<C4, OCC4>, g_sms, C4::NT + 64, s4_smem<C4>(n4), a);
    a.rmax = n5;
    a.rg = g_sms / CG;
    go(5, s5_fc2<C4, kRed, OCC4>, G, C4::NT + 32, s5_smem<C4>(n5), a);
  }
  SArgs a = sargs(s, m.layers, XM);
  a.g1 = m.p + (size_t)m.layers * 13 * m.d;
  a.e1 = a.g1 + m.d;
  a.rmax = (m.vocab + g_sms - 1) / g_sms + 1;
  using CH = typename Shape<D>::B;
  go(6, s_head<CH, XM, 1>, g_sms, CH::NT + 32, CH::NS * CH::TILE + CH::NW * a.rmax * 4 + 256 + 16 * CH::NS, a, m.head,
     m.vocab, m.logits);
}
template <int D>
static void refill(const Host& h) {
  const size_t per = (size_t)12 * D * D;
  for (int l = 0; l < h.m.layers; ++l) {
    fillh((__half*)h.m.w + per * l, per / 12 * 8, 1.2f / std::sqrt((float)D), 100 + 2 * l);
    fillh((__half*)h.m.w + per * l + per / 12 * 8, per / 12 * 4, 0.8f / std::sqrt((float)D), 101 + 2 * l);
  }
}
template <int D>
static void judge(const char* tag, const Model& m, int full_layers, const std::string& v,
                  const std::function<void()>& body, const std::function<void()>& wipe, const std::vector<float>& rl,
                  const std::vector<float>& rx, double lbytes, const std::string& extra) {
  const int vocab = m.vocab;
  auto getx = [&] { return host(m.xb, D); };
  wipe();
  run_once(body);
  const auto l1 = host(m.logits, vocab), x1 = getx();
  wipe();
  run_once(body);
  const auto l2 = host(m.logits, vocab), x2 = getx();
  bool same = !memcmp(l1.data(), l2.data(), vocab * 4) && !memcmp(x1.data(), x2.data(), D * 4);
  for (int i = 0; i < (getenv("SAN") ? 0 : 20); ++i) {
    wipe();
    run_once(body);
    const auto y = host(m.logits, vocab);
    same = same && !memcmp(l1.data(), y.data(), vocab * 4);
  }
  const double el = rel(l1, rl), ex = rel(x1, rx), hbytes = 2.0 * vocab * D;
  const Timing t = time_graph(body, getenv("SAN") ? 1 : 21);
  run_once([&] {});
  const auto l3 = host(m.logits, vocab);  // after many replays through the graph: still the same bits
  const bool still = !memcmp(l1.data(), l3.data(), vocab * 4);
  const double head_us = hbytes / g_read * 1e-6, us = (t.med * 1e3 - head_us) / m.layers,
               full = (us * full_layers + head_us) * 1e-3;
  const double bytes = lbytes * m.layers + hbytes;
  printf(
      "%s d=%-5d L=%-2d T=%-4d %-16s %8.2f us/layer  token(%d layers) %7.3f ms  %5.3f TB/s %5.1f%% copy | min %.3f b2b "
      "%.3f ms | err logits %.1e x %.1e %s%s %s%s\n",
      tag, D, m.layers, m.old + 1, v.c_str(), us, full_layers, full, bytes / t.med * 1e-9,
      100 * bytes / t.med * 1e-9 / g_copy, t.lo, t.back, el, ex, same ? "same-bits" : "BITS-DIFFER",
      still ? "" : " GRAPH-DIFFERS", el < 2e-3 && ex < 2e-3 && same && still ? "ok" : "WRONG", extra.c_str());
  fflush(stdout);
  if (g_csv) {
    fprintf(g_csv, "%s,%d,%d,%d,%s,%.4f,%.5f,%.5f,%.5f,%.5f,%.4f,%.4f,%.3e,%.3e,%d,%d\n", tag, D, m.layers, m.old + 1,
            v.c_str(), us, full, t.med, t.lo, t.back, g_copy, g_read, el, ex, (int)same, (int)still);
    fflush(g_csv);
  }
}
template <int D>
static int run_sparse(int layers, int full_layers, int old, const std::vector<std::string>& which) {
  const bool san = getenv("SAN");  // small and untimed, for compute-sanitizer
  Host h = make(D, layers, san ? 2048 : 50272, old);
  Sparse s = make_sparse(h.m, 0.10, 0.42);
  const Model& m = s.m;
  if (san) {
    g_copy = g_read = 4;
  } else {
    measure_ceilings((void*)m.w, std::min<size_t>(h.wbytes, 8ull << 30), false);
  }
  refill<D>(h);
  poison_sparse(s);
  reference_sparse(s);
  const auto rl = host(m.logits, m.vocab), rx = host(m.xb, D);
  const double dd = (double)D * D, lbytes = 4 * dd + 2.0 * s.nh * HD * D * 2 + 2.0 * PR * D + 4.0 * D * PS +
                                            4.0 * s.nn * D + 4.0 * s.nh * HD * (old + 1);
  using C = typename Shape<D>::B2;
  for (const std::string& v : which) {
    bool pdl = v.find("pdl") != v.npos;
    const std::string name = v.substr(0, v.find('-'));
    std::function<void(int)> body;
    bool fix = false;
    fix = true;
    if (name == "o1") {
      body = [&, pdl](int only) { chain3<D, C, C, C, 1, 1>(s, pdl, only); };
    } else if (name == "o2") {
      body = [&, pdl](int only) { chain3<D, C, C, C, 1, 2>(s, pdl, only); };
    } else if (name == "o3") {
      body = [&, pdl](int only) { chain3<D, C, C, C, 1, 3>(s, pdl, only); };
    }
    if constexpr (D == 4096) {
      using C4 = Cfg<256, 2, 2, 6>;
      if (name == "o4") {
        body = [&, pdl](int only) { chain3<D, C, C, C4, 2, 3>(s, pdl, only); };
      }
      if (name == "o5") {
        body = [&, pdl](int only) { chain3<D, C, Cfg<256, 2, 2, 7>, C4, 2, 3>(s, pdl, only); };
      }
    }
    if (!body) {
      printf("ERROR no variant %s\n", v.c_str());
      continue;
    }
    // the predictors' values, once, in the last layer
    s.want_dbg = true;
    poison_sparse(s);
    run_once([&] { body(0); });
    // without the thresholds, which hide the scores' own error
    auto bare = [&](std::vector<float> v, const std::vector<unsigned char>& k) {
      for (size_t i = 0; i < v.size(); ++i) {
        v[i] -= k[i] ? 1000.f : -1000.f;
      }
      return v;
    };
    const double es = rel(bare(host(s.dbg, 4 * D), s.keep_n.back()), bare(g_ref_score, s.keep_n.back()));
    const double eh = rel(bare(host(s.sc, m.heads), s.keep_h[0]), bare(g_ref_heads, s.keep_h[0]));
    std::vector<unsigned> mk(D / 8);
    CK(cudaMemcpy(mk.data(), s.mask, D / 2, cudaMemcpyDeviceToHost));
    int bad = 0;
    for (int i = 0; i < 4 * D; ++i) {
      bad += ((mk[i / 32] >> (i & 31)) & 1) != s.keep_n.back()[i];
    }
    s.want_dbg = false;
    char extra[160];
    snprintf(extra, sizeof extra, " scores %.1e heads %.1e%s", es, eh,
             bad || !(es < 1e-2) || !(eh < 1e-2) ? " PREDICTOR-WRONG" : "");
    judge<D>("SPARSE", m, full_layers, v, [&] { body(0); }, [&] { poison_sparse(s); }, rl, rx, lbytes, extra);
    if (v.find("parts") != v.npos) {
      const char* names[] = {
          "", "qkv+pred1", "attn+pred2", "out", fix && name.find("fused") != name.npos ? "mlp" : "fc1", "fc2"};
      const double by[] = {0,
                           4 * dd + 2.0 * s.nh * HD * D + 2.0 * PR * D,
                           4.0 * D * PS,
                           2.0 * s.nh * HD * D,
                           2.0 * s.nn * D * (names[4][0] == 'm' ? 2 : 1),
                           2.0 * s.nn * D};
      printf("PARTS d=%d %s:", D, v.c_str());
      for (int k = 1; k <= (names[4][0] == 'm' ? 4 : 5); ++k) {
        const Timing t = time_graph([&] { body(k); }, 11);
        const double us = t.med * 1e3 / layers;
        printf("  %s %.2f us min %.2f (%.2f TB/s)", names[k], us, t.lo * 1e3 / layers, by[k] / us * 1e-6);
      }
      printf("\n");
      fflush(stdout);
    }
  }
  return 0;
}
int main(int argc, char** argv) {
  CK(cudaSetDevice(0));
  cudaDeviceProp pr;
  CK(cudaGetDeviceProperties(&pr, 0));
  g_sms = pr.multiProcessorCount;
  CK(cudaStreamCreate(&g_st));
  if (const char* o = getenv("OUT")) {
    g_csv = fopen((std::string(o) + "/sparse.csv").c_str(), "a");
  }
  const std::string cmd = argc > 1 ? argv[1] : "";
  const int d = argc > 2 ? atoi(argv[2]) : 0;
  if (argc > 5) {
    std::vector<std::string> v(argv + 5, argv + argc);
    const int layers = atoi(argv[3]), old = atoi(argv[4]);
#define DO(D, F) \
  if (d == D) return run_sparse<D>(layers, F, old, v);
    DO(4096, 32)
#ifndef QUICK
    DO(7168, 48) DO(9216, 64) DO(12288, 24)
#endif
  }
  printf("usage: sparse sparse D LAYERS OLD VARIANT...\n");
  return 2;
}
