package serve

import (
	"net/http"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/onekey"
)

// checkBody refuses a body that JSON readers could read in two ways: what is not UTF-8, half a surrogate pair, and a key that an object
// has twice.
func checkBody(body []byte) error {
	err := data.CheckJSON(body)
	if err == nil {
		err = onekey.Check(body)
	}
	if err != nil {
		return withStatus(http.StatusBadRequest, err)
	}
	return nil
}
