module go_offsets

go 1.21
