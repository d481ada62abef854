//go:build race

package compliance

const raceDetector = true
