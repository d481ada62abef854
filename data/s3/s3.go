// Package s3 lets data lie in S3-compatible stores: [data.Read], and all that takes paths of data, also takes addresses of the form
// s3://bucket/key. A program that reads or writes such addresses imports it for that effect:
//
//	import _ "github.com/goprm/goprm/data/s3"
//
// An object is copied to the user's cache when it is first read, once in a process; the next process that reads objects removes the copies
// of those that have ended.
//
// The environment says where the store is (AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_REGION) and with which credentials it is used
// (AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the role of the machine or pod).
package s3

import _ "github.com/goprm/goprm/internal/s3store" // registers itself
