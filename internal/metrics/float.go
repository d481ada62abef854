// Package metrics judges step and trajectory scores: how well they rank, how well they are calibrated, whether they
// find the first error, and what picking the best of N by them is worth. A metric that the data leave undefined (one
// class only, nothing labelled) is NaN here and null in JSON, never 0.
//
// A target of 0.5 or more counts as good wherever two classes are needed; errors and correlations use targets as they are.
package metrics

import (
	"encoding/json"
	"math"
)

// Float is a number that may be undefined: NaN and infinities are written to JSON as null, and null is read as NaN.
type Float float64

// MarshalJSON implements json.Marshaler.
func (f Float) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Float) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = Float(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(f))
}

// Defined says whether the data gave the metric a value.
func (f Float) Defined() bool { return !math.IsNaN(float64(f)) }

func undefined() Float { return Float(math.NaN()) }

// Ratio is a/b, undefined for b = 0.
func Ratio(a, b float64) Float { return ratio(a, b) }

func ratio(a, b float64) Float {
	if b == 0 {
		return undefined()
	}
	return Float(a / b)
}
