//go:build amd64 && !noasm

package cpu

import "unsafe"

var avx2Set = &instructionSet{
	mr: 6, nr: 16, lanes: 8,
	tile: gemm6x16,
	packRowsA: func(dst *float32, rows []unsafe.Pointer, _ bool, from, n4 int) {
		packRows6Of6F32(dst, listF32(rows), from, n4)
	},
	packRowsB: func(dst *float32, rows []unsafe.Pointer, bf16 bool, from, n4 int) {
		for i := 0; i < 16; i += 8 {
			if bf16 {
				packRows8Of16BF16(offset(dst, i), listBF16(rows[i:]), from, n4)
			} else {
				packRows8Of16F32(offset(dst, i), listF32(rows[i:]), from, n4)
			}
		}
	},
	packColumnsA: packColumns6F32, packColumnsB: packColumns16F32, packColumnsBF16: packColumns16BF16,
	scores: scoresStrip6, values: valuesStrip6, softmax: softmaxStrip6, hideByRow: hideByRow6, hideByColumn: hideByColumn6,
	slopesByRow: slopesByRow6, slopesByColumn: slopesByColumn6,
}

var avx512Set = &instructionSet{
	mr: 12, nr: 32, lanes: 16,
	tile: gemm12x32,
	packRowsA: func(dst *float32, rows []unsafe.Pointer, _ bool, from, n4 int) {
		packRows8Of12F32(dst, listF32(rows), from, n4)
		packRows4Of12F32(offset(dst, 8), listF32(rows[8:]), from, n4)
	},
	packRowsB: func(dst *float32, rows []unsafe.Pointer, bf16 bool, from, n4 int) {
		for i := 0; i < 32; i += 8 {
			if bf16 {
				packRows8Of32BF16(offset(dst, i), listBF16(rows[i:]), from, n4)
			} else {
				packRows8Of32F32(offset(dst, i), listF32(rows[i:]), from, n4)
			}
		}
	},
	packColumnsA: packColumns12F32, packColumnsB: packColumns32F32, packColumnsBF16: packColumns32BF16,
	packPairsA: packPairs12, packPairsB: packPairs32,
	scores: scoresStrip12, values: valuesStrip12, softmax: softmaxStrip12, hideByRow: hideByRow12, hideByColumn: hideByColumn12,
	slopesByRow: slopesByRow12, slopesByColumn: slopesByColumn12,
}

// avx512Pairs is avx512Set with attention's products of bf16.
var avx512Pairs = func() *instructionSet {
	s := *avx512Set
	s.pairs, s.scores, s.values, s.softmax = true, scoresStrip12BF16, valuesStrip12BF16, softmaxStrip12BF16
	return &s
}()

var avx2Int8 = &int8Set{instructionSet: avx2Set, perWord: 2, tile: gemm6x16Int8, round: vecInt8AsWords, roundBlock: int8BlockAsWords}

var avx512Int8 = &int8Set{instructionSet: avx512Set, perWord: 4, tile: gemm12x32Int8, round: vecInt8AsBytes,
	roundBlock: int8BlockAsBytes, start: int8Start32}

func listF32(rows []unsafe.Pointer) **float32 { return (**float32)(unsafe.Pointer(&rows[0])) }
func listBF16(rows []unsafe.Pointer) **uint16 { return (**uint16)(unsafe.Pointer(&rows[0])) }
