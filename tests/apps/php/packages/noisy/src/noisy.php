<?php

throw new RuntimeException("a package of development was loaded");
