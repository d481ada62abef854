package loss_test

import (
	"fmt"
	"log"
	"math"

	"github.com/goprm/goprm/loss"
)

// The joint objective of one trajectory with two labelled steps of three, and a reward for the whole.
func ExampleJoint() {
	labels := []loss.Labels{{Steps: []float64{1, math.NaN(), 0}, Final: 0.5}}
	weights, err := loss.Weights(loss.WeightOptions{Trajectories: 1, LambdaStep: 1, LambdaFinal: 2}, labels)
	if err != nil {
		log.Fatal(err)
	}
	scores, final := []float64{0.8, 0.3, 0.4}, 0.75
	var reads []loss.Read
	for i, score := range scores {
		reads = append(reads, loss.Read{Value: score, Target: labels[0].Steps[i], Weight: weights[0].Steps[i]})
	}
	reads = append(reads, loss.Read{Part: loss.Final, Value: final, Target: labels[0].Final, Weight: weights[0].Final})
	parts := loss.Joint(loss.MSE, reads)
	// (0.2² + 0.4²)/2 and 2·0.25².
	fmt.Printf("steps %.3f + trajectory %.3f = %.3f\n", parts.Step, parts.Final, parts.Loss)
	fmt.Printf("%.3f\n", loss.Grad(loss.MSE, reads, nil))
	// Output:
	// steps 0.100 + trajectory 0.125 = 0.225
	// [-0.200 0.000 0.400 1.000]
}
