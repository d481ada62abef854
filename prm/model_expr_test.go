package prm_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/nn"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A model that was saved with an expression for a head is scored with the same expression, and refused by name without.
func TestModelWithAnExpression(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, writeModel(filepath.Join(dir, "base")))
	weights := make([]float64, hidden)
	for i := range weights {
		weights[i] = float64(i%5)/10 - 0.2
	}
	head := func(e *nn.Expr) error {
		z, err := gorgonia.Mul(e.Features(), e.Parameter("w", tensor.New(tensor.WithShape(hidden, 1), tensor.WithBacking(weights))))
		if err != nil {
			return err
		}
		e.Values = gorgonia.Must(gorgonia.Sigmoid(z))
		e.Loss = gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.Square(e.Values))))
		return nil
	}
	net, err := nn.Open(filepath.Join(dir, "base"), nn.Options{Train: nn.Head, Expr: head})
	require.NoError(t, err)
	ids := []int32{5, 6, 7, 8}
	batches, err := data.PackAll([]*data.Example{{ID: "a", Tokens: ids, Reads: []data.ReadOut{{Pos: 3}}}}, 0)
	require.NoError(t, err)
	_, err = net.TrainStep(context.Background(), []nn.Batch{{Batch: batches[0]}}, nn.SGD{HeadLR: 0.1})
	require.NoError(t, err)
	saved := filepath.Join(dir, "saved")
	require.NoError(t, net.Save(saved))
	require.NoError(t, net.Close())

	_, err = prm.Open(saved, prm.OpenOptions{})
	require.ErrorContains(t, err, "OpenOptions.Expr")
	_, err = prm.Export(context.Background(),
		prm.ExportOptions{Model: saved, To: prm.ToTokenClassification, Out: filepath.Join(dir, "exported")})
	require.ErrorContains(t, err, "expression")
	model, err := prm.Open(saved, prm.OpenOptions{Expr: head})
	require.NoError(t, err)
	defer func() { require.NoError(t, model.Close()) }()
	trajectory := &data.Trajectory{Problem: "What is 2+2?", Steps: []string{"Add."}, Response: "4"}
	score, err := model.Score(context.Background(), trajectory)
	require.NoError(t, err)
	require.Len(t, score.Steps, 2)
	require.Greater(t, score.Steps[0].Score, 0.0)
	require.NotEqual(t, score.Steps[0].Score, score.Steps[1].Score)
	session, err := model.Session(trajectory.Problem)
	require.NoError(t, err)
	require.Contains(t, session.Cache().Off, "expression")
	again, err := session.Append(context.Background(), "Add.")
	require.NoError(t, err)
	require.Equal(t, score.Steps[0].Score, again.Steps[0].Score)
}
