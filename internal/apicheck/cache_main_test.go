package apicheck

import (
	"os"
	"testing"

	"github.com/goprm/goprm/internal/testcache"
)

func TestMain(m *testing.M) { os.Exit(testcache.Main(m)) }
