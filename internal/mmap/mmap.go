// Package mmap maps files into memory, read only.
package mmap
