// misuse.cu: kernels that do what a device must not be asked to do, each in one way. The emulator's tests run them.
#include "gpu.h"

// Half of a warp shuffles, the other half multiplies.
KERNEL(32, 1) divergent_collective(float *out) {
  float d[4] = {0, 0, 0, 0};
  u32 a[4] = {0, 0, 0, 0}, b[2] = {0, 0};
  if (thread() < 16) out[thread()] = shuffle_xor(1.0f, 1);
  else mma(d, a, b);
}
EXPORT(divergent_collective)

// A thread leaves before its warp meets.
KERNEL(32, 1) missing_lane(float *out) {
  if (thread() == 5) return;
  out[thread()] = shuffle_xor(1.0f, 1);
}
EXPORT(missing_lane)

// A thread passes by the barrier.
KERNEL(64, 1) missed_barrier(float *out) {
  if (thread() != 40) sync_block();
  out[thread()] = 1;
}
EXPORT(missed_barrier)

KERNEL(32, 1) shared_address_beyond(float *out) {
  DYNAMIC_SHARED(memory);
  u32 v[4] = {0, 0, 0, 0};
  store_shared16(shared_address(memory) + 1024 * thread(), v);
}
EXPORT(shared_address_beyond)

KERNEL(32, 1) shared_write_beyond(float *out) {
  DYNAMIC_SHARED(memory);
  ((float *)memory)[256 + thread()] = 1;
}
EXPORT(shared_write_beyond)

KERNEL(32, 1) misaligned_copy(float *out) {
  DYNAMIC_SHARED(memory);
  copy16(shared_address(memory), out + 1, 16);
  copy_commit();
  copy_wait<0>();
}
EXPORT(misaligned_copy)

KERNEL(32, 1) copy_never_waited_for(float *out) {
  DYNAMIC_SHARED(memory);
  copy16(shared_address(memory), out, 16);
  copy_commit();
}
EXPORT(copy_never_waited_for)

// Eight rows of a matrix 128 bytes apart lie in the same banks.
KERNEL(32, 1) bank_conflict(float *out) {
  DYNAMIC_SHARED(memory);
  u32 r[4];
  load_matrices(r, shared_address(memory) + 128 * (thread() % 8));
  out[thread()] = r[0];
}
EXPORT(bank_conflict)

KERNEL(32, 1) global_address_beyond(float *out) { out[(1 << 15) + thread()] = 1; }
EXPORT(global_address_beyond)

// Reads what nobody has written: it must not be zero by luck.
KERNEL(32, 1) unwritten_shared(float *out) {
  DYNAMIC_SHARED(memory);
  out[thread()] = ((float *)memory)[thread()];
}
EXPORT(unwritten_shared)

// Reads a copy before it waits: right only if copies are early.
KERNEL(32, 1) read_before_wait(float *out) {
  DYNAMIC_SHARED(memory);
  copy16(shared_address(memory) + 16 * thread(), out + 4 * thread(), 16);
  copy_commit();
  float v = ((float *)memory)[4 * thread()];
  copy_wait<0>();
  out[4 * thread()] = v;
}
EXPORT(read_before_wait)

// Depends on the order in which warps run.
KERNEL(64, 1) race(float *out) {
  DYNAMIC_SHARED(memory);
  if (thread() == 0) *(float *)memory = 7;
  if (thread() == 32) out[0] = *(float *)memory;
}
EXPORT(race)

// Wrong only if a warp is eight meetings ahead of another.
KERNEL(64, 1) far_ahead(float *out) {
  DYNAMIC_SHARED(memory);
  if (thread() == 0) *(volatile float *)memory = 0;
  sync_block();
  for (int i = 0; i < (thread() < 32 ? 9 : 1); i++) shuffle_xor(1.0f, 1);
  if (thread() == 0) *(volatile float *)memory = 7;
  if (thread() == 32) out[0] = *(volatile float *)memory;
}
EXPORT(far_ahead)

// What nothing orders, whatever the words turn out to be: a neighbour's number without a barrier, a barrier that comes before
// the last read, copies that are read by others before their thread has waited, or written over.
KERNEL(64, 1) read_without_barrier(float *out) {
  DYNAMIC_SHARED(memory);
  ((float *)memory)[thread()] = 1;
  out[thread()] = ((float *)memory)[thread() ^ 1];
}
EXPORT(read_without_barrier)

KERNEL(64, 1) written_while_read(float *out) {
  DYNAMIC_SHARED(memory);
  float *x = (float *)memory;
  for (int i = 0; i < 2; i++) {
    x[thread()] = i;
    sync_block();
    out[thread()] = x[63 - thread()];
  }
}
EXPORT(written_while_read)

KERNEL(64, 1) copy_of_another(float *out) {
  DYNAMIC_SHARED(memory);
  copy16(shared_address(memory) + 16 * thread(), out + 4 * thread(), 16);
  copy_commit();
  sync_block();
  float v = ((float *)memory)[4 * (thread() ^ 1)];
  copy_wait<0>();
  out[4 * thread()] = v;
}
EXPORT(copy_of_another)

KERNEL(64, 1) copy_over_a_read(float *out) {
  DYNAMIC_SHARED(memory);
  ((float *)memory)[thread()] = 1;
  sync_block();
  u32 r[4];
  load_matrices(r, shared_address(memory) + 16 * (thread() % 8));
  if (thread() < 4) copy16(shared_address(memory) + 16 * thread(), out, 16);
  copy_commit();
  copy_wait<0>();
}
EXPORT(copy_over_a_read)

// Two threads may say the same, not different things.
KERNEL(64, 1) same_word(float *out) {
  DYNAMIC_SHARED(memory);
  *(float *)memory = 7;
  sync_block();
  out[thread()] = *(float *)memory;
}
EXPORT(same_word)

KERNEL(64, 1) different_words(float *out) {
  DYNAMIC_SHARED(memory);
  *(int *)memory = thread();
  sync_block();
  out[thread()] = *(int *)memory;
}
EXPORT(different_words)

// Ordered as it should be: no race.
KERNEL(64, 1) ordered(float *out) {
  DYNAMIC_SHARED(memory);
  float *x = (float *)memory;
  for (int i = 0; i < 3; i++) {
    if (thread() < 32) copy16(shared_address(memory) + 16 * thread(), out + 4 * thread(), 16);
    copy_commit();
    copy_wait<0>();
    sync_block();
    float v = x[127 - thread()], w = x[thread() / 2];
    sync_block();
    x[thread()] = v + w;
    sync_block();
    out[thread()] = x[thread() ^ 3];
    sync_block();
  }
}
EXPORT(ordered)

// What the copy engine stores: a matrix of 16 rows of 32 numbers, from shared memory that its threads have written.
struct Stored {
  emu::Map map;
  TensorMap described;
  Stored(float *out) : map{emu::map_magic, (u64)out, 32, 2, 128, 1, 4} { memcpy(&described, &map, sizeof map); }
};
DEVFN void stored_line(float *out, bool fence, bool meet, bool wait, int lane) {
  DYNAMIC_SHARED(memory);
  Stored s(out);
  ((float *)memory)[thread()] = 1;
  if (fence) publish_shared();
  if (meet) sync_warp();
  if (thread() == lane) {
    store_box(&s.described, 0, 0, 0);
    stores_commit();
    if (wait) stores_read<0>();
  }
}
KERNEL(32, 1) store_never_waited_for(float *out) { stored_line(out, true, true, false, 0); }
EXPORT(store_never_waited_for)
KERNEL(32, 1) store_of_another_lane(float *out) { stored_line(out, true, true, true, 1); }
EXPORT(store_of_another_lane)
KERNEL(64, 1) store_without_fence(float *out) {
  if (thread() < 32) stored_line(out, false, true, true, 0);
}
EXPORT(store_without_fence)
KERNEL(64, 1) store_before_others(float *out) {
  if (thread() < 32) stored_line(out, true, false, true, 0);
}
EXPORT(store_before_others)
KERNEL(64, 1) write_over_a_store(float *out) {
  DYNAMIC_SHARED(memory);
  if (thread() >= 32) return;
  stored_line(out, true, true, false, 0);
  ((float *)memory)[thread()] = 2;
  if (thread() == 0) stores_read<0>();
}
EXPORT(write_over_a_store)
KERNEL(64, 1) ordered_stores(float *out) {
  DYNAMIC_SHARED(memory);
  if (thread() >= 32) return;
  for (int i = 0; i < 2; i++) {
    stored_line(out, true, true, true, 0);
    sync_warp();
    ((float *)memory)[thread()] = 2;
    sync_warp();
  }
}
EXPORT(ordered_stores)
// Eight bytes of four rows of 128.
KERNEL(32, 1) conflict_of_eights(float *out) {
  DYNAMIC_SHARED(memory);
  store_shared8(shared_address(memory) + thread() / 4 * 128 + thread() % 4 * 8, 1, 2);
}
EXPORT(conflict_of_eights)

// Two blocks of a cluster with a barrier of 128 arrivals each; met says whether they wait for each other before they go on.
DEVFN saddr told(bool met) {
  DYNAMIC_SHARED(memory);
  saddr b = shared_address(memory) + 512;
  if (thread() == 0) barrier_init(b, 128);
  if (met) sync_cluster();
  return b;
}
PAIRED_KERNEL(128, 1) cluster_left_alone(float *out) {
  saddr b = told(true);
  barrier_arrive_at(b, block_x() ^ 1);
  barrier_wait_cluster(b, 0);
}
EXPORT(cluster_left_alone)
PAIRED_KERNEL(128, 1) cluster_too_late(float *out) {
  saddr b = told(true);
  if (block_x() == 0) return;
  for (int i = 0; i < 1000; i++) sync_block();
  barrier_arrive_at(b, 0);
}
EXPORT(cluster_too_late)
PAIRED_KERNEL(128, 1) cluster_half_met(float *out) {
  if (thread() != 40) sync_cluster();
}
EXPORT(cluster_half_met)
PAIRED_KERNEL(128, 1) cluster_block_beyond(float *out) { barrier_arrive_at(told(true), 2); }
EXPORT(cluster_block_beyond)
// Of a line that the other block brings, without a wait.
PAIRED_KERNEL(128, 1) cluster_read_at_once(float *out) {
  DYNAMIC_SHARED(memory);
  saddr b = told(true);
  Stored s(out);
  if (thread() == 0 && block_x() == 0) share_box(shared_address(memory), &s.described, 0, 0, b, 2);
  sync_cluster();
  if (block_x() == 1) out[thread()] = ((float *)memory)[thread() % 32];
  sync_cluster();
}
EXPORT(cluster_read_at_once)
PAIRED_KERNEL(128, 1) cluster_not_met(float *out) {
  saddr b = told(false);
  barrier_arrive_at(b, block_x() ^ 1);
}
EXPORT(cluster_not_met)
