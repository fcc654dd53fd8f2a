module sidemint.test/go-net-http

go 1.19
