// Package nccl is NVIDIA's library of collectives among GPUs, libnccl.so.2, loaded at run time without cgo. Communicators do not block: a
// call returns when it is queued, and [Comm.State] says how it goes. Signatures and numbers are those of nccl.h, version 2.14 and later.
package nccl
