raise "a gem of the development group was loaded"
