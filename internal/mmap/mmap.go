// Package mmap maps files into memory, read only, and takes memory from the system itself.
package mmap
