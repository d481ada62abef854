package prm

import (
	_ "github.com/goprm/goprm/data/parquet"
	_ "github.com/goprm/goprm/prm/server"
)
