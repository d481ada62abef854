// Package parquetfile reads parquet files as rows of JSON. The decoding of pages is parquet-go's; what it would trust is
// checked before: sizes against the file and each other, the length of every list and run, what decompression yields.
package parquetfile
