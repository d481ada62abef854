// Package parquet holds the format of parquet files for [data.Read], [data.NewParquetWriter] and all that use them. A program that reads or
// writes such files imports it for that effect:
//
//	import _ "github.com/goprm/goprm/data/parquet"
//
// So a program that reads JSON lines alone holds no parquet.
package parquet

import _ "github.com/goprm/goprm/internal/parquetfile" // registers itself
