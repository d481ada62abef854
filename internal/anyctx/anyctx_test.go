package anyctx

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOfEndsWithTheLast(t *testing.T) {
	first, endFirst := context.WithCancel(context.Background())
	second, endSecond := context.WithCancel(context.Background())
	defer endFirst()
	ctx, stop := Of([]context.Context{first, second, first})
	defer stop()
	endFirst()
	require.NoError(t, ctx.Err())
	endSecond()
	<-ctx.Done()

	ended, stopEnded := Of([]context.Context{first})
	defer stopEnded()
	<-ended.Done()

	open, stopOpen := Of([]context.Context{first, context.Background()})
	require.NoError(t, open.Err())
	stopOpen()
	require.Error(t, open.Err())
}
