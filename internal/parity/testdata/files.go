// Package testdata has the golden folders that programs carry with them to machines without this repository.
package testdata

import "embed"

// Files holds the models of head dimensions 64 and 128, the last a Qwen3.
//
//go:embed dim64 dim128 qwen3
var Files embed.FS
