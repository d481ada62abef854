package data

import _ "github.com/goprm/goprm/internal/parquetfile"
