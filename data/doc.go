// Package data turns files of labelled reasoning trajectories into packed token batches.
//
// The way of a row: Read parses it into a Trajectory, Trajectory.Cut splits its thinking and response into steps,
// a Renderer lays the steps out as text with read-outs (an Example), and Pack lays Examples end to end into Batches
// whose weights make the loss the one the design defines. What is dropped on the way is counted, never silent.
package data
