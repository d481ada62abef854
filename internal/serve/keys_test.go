package serve

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A key that is there twice in one object is refused at every endpoint.
func TestDoubledKeys(t *testing.T) {
	_, url := start(t, newFake(), Options{})
	for path, body := range map[string]string{
		"/reward/remote_rm": `{"prompt":"q","response":"a","response":"b"}`, "/v1/steps": `{"problem":"q","response":"a","meta":{"x":1,"x":1}}`,
		"/classify": `{"messages":[{"role":"user","content":"q"},{"role":"assistant","role":"user","content":"a"}]}`,
	} {
		status, answer, _ := ask(t, url+path, body)
		require.Equal(t, 400, status, answer)
		require.Contains(t, answer, "is there twice")
	}
}
