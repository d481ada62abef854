// races.cc: the clocks behind races.h.
#include "races.h"
#include <algorithm>

namespace emu {

void Races::raise(Clocks &to, const Clocks &from) const {
  u32 *t = to.data();
  const u32 *f = from.data();
  for (int i = 0, n = copying ? ACTORS : threads; i < n; i++) t[i] = std::max(t[i], f[i]);
  for (int i = PRODUCTS, n = copying ? 0 : ACTORS; i < n; i++) t[i] = std::max(t[i], f[i]);
}

void Races::begin(int n, size_t bytes) {
  threads = n, block++, copying = false;
  int warps = (n + 31) / 32, groups = (n + 127) / 128;
  COPIES = n, PRODUCTS = 2 * n, STORES = PRODUCTS + groups, ENGINE = STORES + warps, ACTORS = ENGINE + BARRIERS;
  if (cells.size() < bytes / 4 + 1) cells.resize(bytes / 4 + 1);
  clock.assign(n, 1), fenced.assign(n, 0);
  begun.assign(n, 0), copied.assign(n, 0);
  issued.assign(ENGINE - PRODUCTS, 0), finished = issued;
  base.assign(ACTORS, 0);
  own.resize(n);
  for (Clocks &o : own) o.clear();
  all.assign(groups, {});
  phases.assign(BARRIERS, 0);
  told.assign(BARRIERS, {}), next.assign(BARRIERS, {});
}

u32 Races::known(int t, int actor) const {
  if (actor == t) return clock[t];
  u32 k = base[actor];
  if (actor == COPIES + t) k = std::max(k, copied[t]);
  if (actor == PRODUCTS + t / 128) k = std::max(k, finished[t / 128]);
  if (actor == STORES + t / 32 && t % 32 == 0) k = std::max(k, finished[stores(t)]);
  if (!own[t].empty()) k = std::max(k, own[t][actor]);
  return k;
}
inline bool Races::knows(int view, int actor, u32 at) const {
  if (view >= 0 && base[actor] >= at) return true;
  return view >= 0 ? known(view, actor) >= at : (*issuer)[actor] >= at;
}
Races::Clocks &Races::owned(int t) {
  if (own[t].empty()) own[t].assign(ACTORS, 0);
  changed(t);
  return own[t];
}

void Races::all_met() {
  for (int t = 0; t < threads; t++) {
    if (!own[t].empty()) raise(base, own[t]);
    base[COPIES + t] = std::max(base[COPIES + t], copied[t]);
  }
  for (int t = 0; t < threads; t++) base[t] = clock[t]++, own[t].clear();
  for (Clocks &a : all) a.clear();
  for (size_t g = 0; g < finished.size(); g++) base[PRODUCTS + g] = std::max(base[PRODUCTS + g], finished[g]);
}

void Races::met(int first, int n) {
  Clocks met = base;
  for (int t = first; t < first + n; t++) {
    if (!own[t].empty()) raise(met, own[t]);
    met[COPIES + t] = std::max(met[COPIES + t], copied[t]);
    met[PRODUCTS + t / 128] = std::max(met[PRODUCTS + t / 128], finished[t / 128]);
    if (t % 32 == 0) met[STORES + t / 32] = std::max(met[STORES + t / 32], finished[stores(t)]);
    met[t] = clock[t]++;
  }
  for (int t = first; t < first + n; t++) raise(owned(t), met);
}

void Races::products_issued(int group) {
  Clocks &a = all[group];
  issuer = &a;
  if (!a.empty()) return;
  a.assign(ACTORS, ~0u);
  for (int t = group * 128; t < group * 128 + 128; t++) {
    const u32 *b = base.data(), *o = own[t].empty() ? b : own[t].data();
    u32 *least = a.data();
    auto add = [=](int from, int to) {
      for (int i = from; i < to; i++) least[i] = std::min(least[i], std::max(b[i], o[i]));
    };
    add(0, t), add(t + 1, ACTORS);
    least[t] = std::min(least[t], clock[t]);
  }
  a[PRODUCTS + group] = ~0u; // in order among themselves
}
void Races::products_done(int group) { finished[group]++; }

void Races::arrived(int t, int b) {
  Clocks &n = next[b];
  if (n.empty()) n.assign(ACTORS, 0);
  raise(n, base);
  if (!own[t].empty()) raise(n, own[t]);
  n[COPIES + t] = std::max(n[COPIES + t], copied[t]);
  n[PRODUCTS + t / 128] = std::max(n[PRODUCTS + t / 128], finished[t / 128]);
  if (t % 32 == 0) n[STORES + t / 32] = std::max(n[STORES + t / 32], finished[stores(t)]);
  n[t] = clock[t]++, changed(t);
}
void Races::phase_done(int b) {
  Clocks &n = next[b];
  if (n.empty()) n.assign(ACTORS, 0);
  n[ENGINE + b] = ++phases[b];
  told[b] = n;
}
void Races::waited(int t, int b) {
  if (!told[b].empty()) raise(owned(t), told[b]);
}

void Races::access(int actor, u32 now, int view, u32 a, u32 bytes, bool writes) {
  for (u32 i = a / 4; i <= (a + bytes - 1) / 4; i++) {
    Cell &c = cells[i];
    if (c.block != block) c.block = block, c.writer = NOBODY, c.readers = 0, c.many = false;
    // an asynchronous copy does not know even its own kind
    if (c.writer != NOBODY && (c.writer != actor || actor >= COPIES)) {
      if (!knows(view, c.writer, c.written)) {
        if (writes && actor < COPIES && c.writer < COPIES) disputed = c.writer;
        else race(actor, writes, i * 4, c.writer, "writes");
      }
      if (!writes && actor >= PRODUCTS && c.writer < PRODUCTS && !(c.writer < COPIES && c.written <= fenced[c.writer] && knows(view, c.writer, c.written + 1)))
        race(actor, writes, i * 4, c.writer, "wrote without a fence of the proxies");
    }
    if (writes) {
      if (c.many) {
        const u32 *m = lists[c.more].at.data();
        for (int r = 0; r < threads; r++)
          if (m[r] > base[r] && r != actor && !knows(view, r, m[r])) race(actor, true, i * 4, r, "reads");
        for (int g = 0; g < (int)issued.size(); g++)
          if (m[threads + g] && !knows(view, PRODUCTS + g, m[threads + g])) race(actor, true, i * 4, PRODUCTS + g, "reads");
      }
      for (int r = 0; r < c.readers; r++)
        if (c.reader[r].actor != actor && !knows(view, c.reader[r].actor, c.reader[r].clock)) race(actor, true, i * 4, c.reader[r].actor, "reads");
      c.readers = 0, c.many = false, c.writer = actor, c.written = now;
      continue;
    }
    if (c.many) {
      lists[c.more].at[slot(actor)] = now;
      continue;
    }
    int at = 0; // a reader that this one knows needs no note of its own: who knows this one will know that one
    while (at < c.readers && c.reader[at].actor != actor && !knows(view, c.reader[at].actor, c.reader[at].clock)) at++;
    if (at == 4) {
      if (c.more < 0) c.more = lists.size(), lists.push_back({0, {}});
      List &m = lists[c.more];
      if (m.block != block) m.block = block, m.at.assign(threads + issued.size(), 0);
      for (const Reader &r : c.reader) m.at[slot(r.actor)] = r.clock;
      m.at[slot(actor)] = now;
      c.many = true, c.readers = 0;
      continue;
    }
    c.reader[at] = {now, (u16)actor};
    if (at == c.readers) c.readers++;
  }
}

} // namespace emu
