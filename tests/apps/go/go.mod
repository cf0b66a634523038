module example.com/shop/go-hello

go 1.25

require github.com/google/uuid v1.6.0
