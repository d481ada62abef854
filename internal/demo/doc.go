// Package demo is the whole of goprm in a few minutes on a CPU: it makes problems with thinking and exact rewards, trains
// a small model from scratch on steps and trajectories at once, judges it on problems that it has not seen, and picks the
// best of eight answers with it. It is what `prm demo` runs, and the project's learning test.
//
// A problem is a product and a chain of sums, in words, plainly or as a story; every value on the way lies between ten
// and nineteen. A trajectory thinks in steps (sums, second looks, ways that are tried and left, goings back) and
// responds. A step is wrong when its sum is wrong, or when it says again another value than the one before it.
// Trajectories come in pairs of one problem and one form: where a step of the first is right, the step of the second is
// wrong, at the same place and in as many words. So depth and length tell nothing.
package demo
