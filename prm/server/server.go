// Package server holds the server behind [prm.NewServer]. A program that serves imports it for that effect:
//
//	import _ "github.com/goprm/goprm/prm/server"
//
// So a program that trains and scores has no server in it.
package server

import _ "github.com/goprm/goprm/internal/serve" // registers itself
