package data

import "math/bits"

// Order is the order of n trajectories in an epoch (from 0): a permutation of 0..n-1 that the arguments determine,
// every permutation equally likely over the seeds.
func Order(seed uint64, epoch, n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	key := mix(mix(seed) ^ uint64(epoch))
	for i := n - 1; i > 0; i-- {
		j := below(key, uint64(i), uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)
// after one step of its Weyl sequence.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below draws number counter of the stream key, uniform in [0, n), by Lemire's multiplication with rejection.
func below(key, counter, n uint64) uint64 {
	for try := uint64(0); ; try++ {
		high, low := bits.Mul64(mix(key^mix(counter^try<<48)), n)
		if low >= -n%n {
			return high
		}
	}
}
