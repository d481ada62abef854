package label_test

import _ "github.com/goprm/goprm/data/parquet"
