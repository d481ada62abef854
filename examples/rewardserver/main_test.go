package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/examples/internal/tinyprm"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	dir := tinyprm.Train(t)
	model, err := prm.Open(dir, prm.OpenOptions{})
	require.NoError(t, err)
	want, err := model.Score(context.Background(), &data.Trajectory{Problem: "2+3?", Response: "Add.\n\nIt is 5."})
	require.NoError(t, err)
	require.NoError(t, model.Close())

	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l
	}
	listener, done := listen(), make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { done <- run(ctx, dir, "me", listener) }()
	ask := func(user string) *http.Response {
		r, err := http.NewRequest(http.MethodPost, "http://"+listener.Addr().String()+"/v1/steps", bytes.NewBufferString(`{"id":"a","problem":"2+3?","response":"Add.\n\nIt is 5."}`))
		require.NoError(t, err)
		r.Header.Set("X-User", user)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		return answer
	}
	answer := ask("me")
	var got struct{ Steps []struct{ Score float64 } }
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&got))
	require.NoError(t, answer.Body.Close())
	require.Len(t, got.Steps, 2)
	for i, step := range want.Steps {
		require.Equal(t, step.Score, got.Steps[i].Score)
	}
	answer = ask("you")
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusForbidden, answer.StatusCode)
	stop()
	require.NoError(t, <-done)

	require.ErrorContains(t, run(context.Background(), "", "me", listen()), "--model")
	require.Error(t, run(context.Background(), t.TempDir(), "me", listen()))
}
