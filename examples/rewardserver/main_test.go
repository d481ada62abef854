package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/tinyprm"
	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

func listen(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// The server answers with the model's own reward, and ends well when it is told to.
func TestRun(t *testing.T) {
	dir, l := tinyprm.Train(t), listen(t)
	model, err := prm.Open(dir, prm.OpenOptions{})
	require.NoError(t, err)
	want, err := model.Score(context.Background(), &data.Trajectory{Problem: "1+1?", Thinking: "One.\n\nTwo.", Response: "2"})
	require.NoError(t, err)
	require.NoError(t, model.Close())

	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, dir, l) }()
	r, err := http.Post("http://"+l.Addr().String()+"/reward/remote_rm", "application/json",
		strings.NewReader(`{"prompt":"1+1?","response":"<think>One.\n\nTwo.</think>2"}`))
	require.NoError(t, err)
	var got float64
	require.NoError(t, json.NewDecoder(r.Body).Decode(&got))
	require.NoError(t, r.Body.Close())
	require.Equal(t, want.Reward, got)
	stop()
	require.NoError(t, <-ended)
	_, err = http.Get("http://" + l.Addr().String() + "/health")
	require.Error(t, err, "nothing listens any more")

	require.ErrorContains(t, run(context.Background(), "", listen(t)), "--model")
	require.Error(t, run(context.Background(), filepath.Join(dir, "nowhere"), listen(t)))
}
